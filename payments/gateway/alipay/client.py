"""Calls to Alipay's gateway: signed forms out, signed JSON back, and the signed link to its cashier.

An answer is believed only with the gateway's signature over its exact bytes.
Source: opendocs.alipay.com, alipay.trade.page.pay, .query, .close, .refund, .fastpay.refund.query, bill download.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from django.conf import settings

from common import money
from payments.gateway import china, keys, rsa, transport
from payments.gateway.alipay import notice, signing, statement
from payments.gateway.contract import (
    BookEntry,
    Callback,
    Claims,
    GatewayRefused,
    GatewayUnavailable,
    Invoice,
    Notice,
    RefundOrder,
    Standing,
    StatementLine,
    Trade,
)

_PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
#: "Business failures" after which nobody knows what was done.
_UNKNOWN = frozenset({"ACQ.SYSTEM_ERROR", "aop.ACQ.SYSTEM_ERROR", "isp.bill_not_exist"})
_FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=utf-8"}


class AlipayGateway:
    channel = "alipay"

    def cashier_url(self, invoice: Invoice, *, now: datetime) -> str:
        """Made without asking anybody: every word of the link is signed."""
        content = {
            "out_trade_no": invoice.order_no,
            "product_code": "FAST_INSTANT_TRADE_PAY",
            "total_amount": money.to_text(invoice.amount_cents),
            "subject": invoice.subject,
            "time_expire": china.to_text(invoice.expires_at),
        }
        fields = _request("alipay.trade.page.pay", content, now)
        fields |= {"notify_url": invoice.notify_url, "return_url": invoice.return_url}
        return f"{settings.PAYSIM_URL}/cashier?{urlencode(signing.signed(keys.own(), fields))}"

    def query(self, order_no: str, *, now: datetime) -> Standing:
        try:
            node = _call("alipay.trade.query", {"out_trade_no": order_no}, now)
        except GatewayRefused as refusal:
            if refusal.sub_code == "ACQ.TRADE_NOT_EXIST":
                return "OPEN"  # It begins when the buyer opens the cashier.
            raise GatewayUnavailable(f"refused to tell: {refusal}") from refusal
        try:
            if node["trade_status"] in _PAID:
                paid_at = china.from_text(node["send_pay_date"])
                return Trade(node["trade_no"], money.from_text(node["total_amount"]), paid_at, self.channel)
        except (KeyError, TypeError, ValueError) as error:
            raise GatewayUnavailable(f"an answer without its fields: {error}") from error
        return "CLOSED" if node["trade_status"] == "TRADE_CLOSED" else "OPEN"

    def close(self, order_no: str, *, now: datetime) -> Trade | None:
        try:
            _call("alipay.trade.close", {"out_trade_no": order_no}, now)
        except GatewayRefused as refusal:
            if refusal.sub_code == "ACQ.TRADE_NOT_EXIST":
                return None
            standing = self.query(order_no, now=now)
            if standing == "OPEN":
                raise GatewayUnavailable(f"refused to close a trade that waits to be paid: {refusal}") from refusal
            return standing if isinstance(standing, Trade) else None
        return None

    def refund(self, order: RefundOrder, *, now: datetime) -> datetime:
        content = {
            "out_trade_no": order.order_no,
            "trade_no": order.trade_no,
            "out_request_no": order.refund_no,
            "refund_amount": money.to_text(order.amount_cents),
            "refund_reason": order.reason,
        }
        return _moment(_call("alipay.trade.refund", content, now), "gmt_refund_pay")

    def find_refund(self, order: RefundOrder, *, now: datetime) -> datetime | None:
        content = {"trade_no": order.trade_no, "out_request_no": order.refund_no}
        try:
            node = _call("alipay.trade.fastpay.refund.query", content, now)
        except GatewayRefused as refusal:
            raise GatewayUnavailable(f"refused to tell: {refusal}") from refusal
        return _moment(node, "gmt_refund_pay") if node.get("refund_status") == "REFUND_SUCCESS" else None

    def statement(self, day: date, *, now: datetime) -> list[StatementLine]:
        content = {"bill_type": "trade", "bill_date": day.isoformat()}
        url = str(_call("alipay.data.dataservice.bill.downloadurl.query", content, now).get("bill_download_url"))
        what = f"the statement of {day}"
        response = transport.send(
            transport.target_of(url), method="GET", what=what, bytes_max=statement.ARCHIVE_BYTES_MAX
        )
        if response.status_code != httpx.codes.OK:
            raise GatewayUnavailable(f"{what}: HTTP {response.status_code}")
        try:
            return statement.lines_of(response.content)
        except statement.Unreadable as error:
            raise GatewayUnavailable(f"{what}: {error}") from error

    def book(self, *, now: datetime) -> Iterator[BookEntry]:
        last = ""
        while entries := msgspec.convert(
            _call("paysim.book.query", {"after_trade_no": last}, now)["entries"], list[BookEntry]
        ):
            yield from entries
            last = entries[-1].trade_no

    def read(self, callback: Callback, *, now: datetime) -> Notice | Claims:
        return notice.read(callback)


def _moment(node: dict[str, Any], name: str) -> datetime:
    try:
        return china.from_text(node[name])
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnavailable(f"an answer without {name}: {error}") from error


def _call(method: str, content: dict[str, str], now: datetime) -> dict[str, Any]:
    """One signed request and its signed answer.

    Raises: GatewayUnavailable. GatewayRefused: an answer with a business failure.
    """
    form = urlencode(signing.signed(keys.own(), _request(method, content, now))).encode()
    response = transport.send("/gateway.do", what=method, content=form, headers=_FORM)
    if response.status_code != httpx.codes.OK:
        raise GatewayUnavailable(f"{method}: HTTP {response.status_code}")
    node = _genuine(method, response.content)
    sub_code = str(node.get("sub_code"))
    if node.get("code") == "40004" and sub_code not in _UNKNOWN:
        raise GatewayRefused(sub_code, str(node.get("sub_msg")))
    if node.get("code") != "10000":
        # A system error of theirs, or our request was not understood (a wrong key or clock of ours): in either case the
        # same request succeeds once that is repaired.
        raise GatewayUnavailable(f"{method}: {sub_code}: {node.get('sub_msg')}")
    return node


def _genuine(method: str, answer: bytes) -> dict[str, Any]:
    """The inner object of an answer, after its signature was checked over the bytes as they came."""
    try:
        parts = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        inner = parts.get(method.replace(".", "_") + "_response", parts.get("error_response"))
        signature = msgspec.json.decode(parts["sign"], type=str)
        if inner is None or not rsa.is_genuine(keys.gateway(), signature, bytes(inner)):
            raise GatewayUnavailable(f"{method}: the answer is not signed by the gateway")
        return msgspec.json.decode(inner, type=dict[str, Any])
    except (msgspec.DecodeError, KeyError, keys.KeysMissing) as error:
        raise GatewayUnavailable(f"{method}: {error}") from error


def _request(method: str, content: dict[str, str], now: datetime) -> dict[str, str]:
    return {
        "app_id": settings.PAYMENT_APP_ID,
        "method": method,
        "charset": "utf-8",
        "version": "1.0",
        "timestamp": china.to_text(now),
        "biz_content": msgspec.json.encode(content).decode(),
    }
