"""Calls to WeChat Pay's gateway: REST with signatures in headers, both ways.

An answer is believed only with the gateway's signature over its bytes, and only when it is fresh: what is asked and
what is answered are two messages here, and an old answer would fit any question.
Source: pay.weixin.qq.com, APIv3: h5 prepay, order query, close, refund, refund query, trade bill.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec
from django.conf import settings

from payments.gateway import china, keys, transport
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
from payments.gateway.wechat import notice, signing, statement

_PAID = frozenset({"SUCCESS", "REFUND"})
_CLOSED = frozenset({"CLOSED", "REVOKED"})
#: Statuses of a refusal that is final; any other one (401, 429, 500, ...) is about this moment, not about the request.
_REFUSALS = frozenset({400, 403, 404})
_UNKNOWN = frozenset({"SYSTEM_ERROR", "BIZ_ERR_NEED_RETRY", "FREQUENCY_LIMITED", "SIGN_ERROR"})
#: A statement is ready at ten the next morning.
_READY_AFTER = timedelta(hours=10)
_ORDER = "/v3/pay/transactions/out-trade-no/"
_REFUND = "/v3/refund/domestic/refunds"


class WechatGateway:
    channel = "wechat"

    def cashier_url(self, invoice: Invoice, *, now: datetime) -> str:
        content = {
            "appid": settings.WECHAT_APP_ID,
            "mchid": settings.WECHAT_MCHID,
            "description": invoice.subject,
            "out_trade_no": invoice.order_no,
            "time_expire": china.to_rfc3339(invoice.expires_at),
            "notify_url": invoice.notify_url,
            "amount": {"total": invoice.amount_cents, "currency": "CNY"},
            "scene_info": {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}},
        }
        url = str(_call("POST", "/v3/pay/transactions/h5", content, now).get("h5_url"))
        return f"{settings.PAYSIM_URL}{transport.target_of(url)}&redirect_url={quote(invoice.return_url, safe='')}"

    def query(self, order_no: str, *, now: datetime) -> Standing:
        try:
            node = _call("GET", f"{_ORDER}{order_no}?{urlencode({'mchid': settings.WECHAT_MCHID})}", None, now)
        except GatewayRefused as refusal:
            if refusal.sub_code == "ORDER_NOT_EXIST":
                return "OPEN"
            raise GatewayUnavailable(f"refused to tell: {refusal}") from refusal
        try:
            if node["trade_state"] in _PAID:
                paid_at, cents = china.from_rfc3339(node["success_time"]), node["amount"]["total"]
                if type(cents) is not int:
                    raise TypeError("an amount that is no integer")
                return Trade(str(node["transaction_id"]), cents, paid_at, self.channel)
        except (KeyError, TypeError, ValueError) as error:
            raise GatewayUnavailable(f"an answer without its fields: {error}") from error
        return "CLOSED" if node["trade_state"] in _CLOSED else "OPEN"

    def close(self, order_no: str, *, now: datetime) -> Trade | None:
        try:
            _call("POST", f"{_ORDER}{order_no}/close", {"mchid": settings.WECHAT_MCHID}, now)
        except GatewayRefused as refusal:
            if refusal.sub_code == "ORDER_NOT_EXIST":
                return None
            standing = self.query(order_no, now=now)
            if standing == "OPEN":
                raise GatewayUnavailable(f"refused to close a trade that waits to be paid: {refusal}") from refusal
            return standing if isinstance(standing, Trade) else None
        return None

    def refund(self, order: RefundOrder, *, now: datetime) -> datetime:
        content = {
            "transaction_id": order.trade_no,
            "out_refund_no": order.refund_no,
            "reason": order.reason,
            "amount": {"refund": order.amount_cents, "total": order.captured_cents, "currency": "CNY"},
        }
        return _refunded_at(_call("POST", _REFUND, content, now))

    def find_refund(self, order: RefundOrder, *, now: datetime) -> datetime | None:
        try:
            node = _call("GET", f"{_REFUND}/{order.refund_no}", None, now)
        except GatewayRefused as refusal:
            if refusal.sub_code == "RESOURCE_NOT_EXISTS":
                return None
            raise GatewayUnavailable(f"refused to tell: {refusal}") from refusal
        return _refunded_at(node)

    def statement(self, day: date, *, now: datetime) -> list[StatementLine]:
        what = f"the statement of {day}"
        try:
            node = _call("GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL", None, now)
        except GatewayRefused as refusal:
            # The same words for "not ready" and for "nothing happened on that day": the hour tells which.
            if refusal.sub_code == "NO_STATEMENT_EXIST" and now >= china.end_of(day) + _READY_AFTER:
                return []
            raise GatewayUnavailable(f"{what}: {refusal}") from refusal
        target = transport.target_of(str(node.get("download_url")))
        response = _send("GET", target, b"", now, bytes_max=statement.FILE_BYTES_MAX)
        digest = hashlib.sha1(response.content, usedforsecurity=False).hexdigest()
        if response.status_code != httpx.codes.OK or not hmac.compare_digest(digest, str(node.get("hash_value"))):
            raise GatewayUnavailable(f"{what}: HTTP {response.status_code}, or not the file that was promised")
        try:
            return statement.lines_of(response.content)
        except statement.Unreadable as error:
            raise GatewayUnavailable(f"{what}: {error}") from error

    def book(self, *, now: datetime) -> Iterator[BookEntry]:
        last = ""
        while entries := msgspec.convert(
            _call("GET", f"/v3/paysim/book?after_trade_no={last}", None, now)["entries"], list[BookEntry]
        ):
            yield from entries
            last = entries[-1].trade_no

    def read(self, callback: Callback, *, now: datetime) -> Notice | Claims:
        return notice.read(callback, now=now)


def _refunded_at(node: dict[str, Any]) -> datetime:
    """Raises: GatewayUnavailable: still under way. GatewayRefused: it will never be."""
    status = node.get("status")
    if status in ("CLOSED", "ABNORMAL"):
        raise GatewayRefused(f"REFUND_{status}", "the refund did not reach the buyer")
    try:
        if status == "SUCCESS":
            return china.from_rfc3339(node["success_time"])
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnavailable(f"an answer without its fields: {error}") from error
    raise GatewayUnavailable(f"the refund is {status}")


def _call(method: str, target: str, content: dict[str, Any] | None, now: datetime) -> dict[str, Any]:
    """One signed request and its signed answer; an empty one is an empty object.

    Raises: GatewayUnavailable. GatewayRefused: an answer with a business failure.
    """
    what = f"{method} {target.partition('?')[0]}"
    response = _send(method, target, b"" if content is None else msgspec.json.encode(content), now)
    try:
        signed_at = signing.signed_at(response.headers, response.content, now=now)
        if signed_at is None or abs(now - signed_at) > signing.FRESH:
            raise GatewayUnavailable(f"{what}: HTTP {response.status_code}, not signed by the gateway just now")
        node = msgspec.json.decode(response.content, type=dict[str, Any]) if response.content else {}
    except (msgspec.DecodeError, keys.KeysMissing) as error:
        raise GatewayUnavailable(f"{what}: {error}") from error
    if response.is_success:
        return node
    code = str(node.get("code"))
    if response.status_code in _REFUSALS and code not in _UNKNOWN:
        raise GatewayRefused(code, str(node.get("message")))
    raise GatewayUnavailable(f"{what}: HTTP {response.status_code}: {code}: {node.get('message')}")


def _send(method: str, target: str, body: bytes, now: datetime, *, bytes_max: int = 1024 * 1024) -> httpx.Response:
    headers = {
        "Authorization": signing.authorization(method, target, body, mchid=settings.WECHAT_MCHID, now=now),
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    what = f"{method} {target.partition('?')[0]}"
    return transport.send(
        target,
        what=what,
        method=method,
        content=body or None,
        headers=headers,
        bytes_max=bytes_max,
    )
