"""Calls to the gateway: query, close, refund, bill, and the link to its cashier. Never call these inside a transaction.

An answer is believed only with the gateway's signature over its exact bytes. Whatever leaves us in doubt about what the
gateway did (no answer, a broken one, a forged one) is `GatewayUnavailable`: ask again, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec
from django.conf import settings

from common import money
from payments.gateway import keys, signing
from payments.gateway.rest import Rest

_TIMEOUT_S = 3.0
_ANSWER_BYTES_MAX = 1024 * 1024
_CHINA = timezone(timedelta(hours=8))
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_PAID = frozenset({"TRADE_SUCCESS", "TRADE_FINISHED"})
_rest = Rest()


class GatewayUnavailable(Exception):
    """Nobody knows whether the gateway did what it was asked; the same request must be made again."""


class GatewayRefused(Exception):
    """The gateway said no, for good; `sub_code` is its reason."""

    def __init__(self, sub_code: str, sentence: str) -> None:
        super().__init__(f"{sub_code}: {sentence}")
        self.sub_code = sub_code


@dataclass(frozen=True)
class Trade:
    """Money that the gateway says it has."""

    trade_no: str
    amount_cents: int
    paid_at: datetime


class BillEntry(msgspec.Struct, frozen=True):
    """One trade in the gateway's own book."""

    trade_no: str
    out_trade_no: str
    paid: bool
    total_cents: int
    refunded_cents: int
    refund_count: int


def cashier_url(
    *,
    order_no: str,
    amount_cents: int,
    subject: str,
    notify_url: str,
    return_url: str,
    expires_at: datetime,
    now: datetime,
) -> str:
    """A link that opens the cashier for this order, and for nothing else: every word of it is signed."""
    content = {
        "out_trade_no": order_no,
        "product_code": "FAST_INSTANT_TRADE_PAY",
        "total_amount": money.to_text(amount_cents),
        "subject": subject,
        "time_expire": to_text(expires_at),
    }
    fields = _request("alipay.trade.page.pay", content, now) | {"notify_url": notify_url, "return_url": return_url}
    return f"{settings.PAYSIM_URL}/cashier?{urlencode(signing.signed(keys.own(), fields))}"


def close_trade(order_no: str, *, now: datetime) -> Trade | None:
    """Close the trade of an order: None when it is closed (or never began), the trade when the buyer had paid.

    Raises: GatewayUnavailable.
    """
    try:
        _call("alipay.trade.close", {"out_trade_no": order_no}, now)
    except GatewayRefused as refusal:
        if refusal.sub_code == "ACQ.TRADE_NOT_EXIST":
            return None
        return _paid_trade(order_no, now)
    return None


def refund(*, order_no: str, trade_no: str, refund_no: str, amount_cents: int, reason: str, now: datetime) -> None:
    """Give money back; the same `refund_no` moves it once, however often it is asked for.

    Raises: GatewayUnavailable. GatewayRefused: never, with these numbers.
    """
    content = {
        "out_trade_no": order_no,
        "trade_no": trade_no,
        "out_request_no": refund_no,
        "refund_amount": money.to_text(amount_cents),
        "refund_reason": reason,
    }
    _call("alipay.trade.refund", content, now)


def bill(*, now: datetime) -> Iterator[BillEntry]:
    """Every trade the gateway has of this shop.

    Raises: GatewayUnavailable.
    """
    last = ""
    while entries := msgspec.convert(
        _call("paysim.bill.query", {"after_trade_no": last}, now)["entries"], list[BillEntry]
    ):
        yield from entries
        last = entries[-1].trade_no


def to_text(moment: datetime) -> str:
    return moment.astimezone(_CHINA).strftime(_TIME_FORMAT)


def from_text(text: str) -> datetime:
    """Raises: ValueError: no time in the gateway's form."""
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=_CHINA)


def _paid_trade(order_no: str, now: datetime) -> Trade | None:
    """What the gateway says after it refused to close: paid, or closed meanwhile; anything else is still open."""
    node = _call("alipay.trade.query", {"out_trade_no": order_no}, now)
    try:
        if node["trade_status"] in _PAID:
            return Trade(node["trade_no"], money.from_text(node["total_amount"]), from_text(node["send_pay_date"]))
    except (KeyError, TypeError, ValueError) as error:
        raise GatewayUnavailable(f"an answer without its fields: {error}") from error
    if node["trade_status"] == "TRADE_CLOSED":
        return None
    raise GatewayUnavailable(f"refused to close a trade that is {node['trade_status']}")


def _call(method: str, content: dict[str, str], now: datetime) -> dict[str, Any]:
    """One signed request and its signed answer.

    Raises: GatewayUnavailable. GatewayRefused: an answer with a business failure.
    """
    address = str(settings.PAYMENT_GATEWAY_URL or settings.PAYSIM_URL)
    if _rest.is_resting(address):
        raise GatewayUnavailable(f"{method}: the gateway did not answer a moment ago")
    form = signing.signed(keys.own(), _request(method, content, now))
    try:
        response = _connections.http().post(f"{address}/gateway.do", data=form)
        _rest.answered(address)
    except httpx.HTTPError as error:
        _rest.failed(address)
        raise GatewayUnavailable(f"{method}: {type(error).__name__}: {error}") from error
    if response.status_code != httpx.codes.OK or len(response.content) > _ANSWER_BYTES_MAX:
        raise GatewayUnavailable(f"{method}: HTTP {response.status_code}")
    node = _genuine(method, response.content)
    if node.get("code") == "40004":
        raise GatewayRefused(str(node.get("sub_code")), str(node.get("sub_msg")))
    if node.get("code") != "10000":
        # Our request was not understood: a wrong key or clock of ours. Repairing that makes the same request succeed.
        raise GatewayUnavailable(f"{method}: {node.get('sub_code')}: {node.get('sub_msg')}")
    return node


def _genuine(method: str, answer: bytes) -> dict[str, Any]:
    """The inner object of an answer, after its signature was checked over the bytes as they came."""
    try:
        parts = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        inner = parts.get(method.replace(".", "_") + "_response", parts.get("error_response"))
        signature = msgspec.json.decode(parts["sign"], type=str)
        if inner is None or not signing.is_genuine(keys.gateway(), signature, bytes(inner)):
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
        "timestamp": to_text(now),
        "biz_content": msgspec.json.encode(content).decode(),
    }


class _Connections:
    """One HTTP client per process, with its kept connections, made by whichever thread calls first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._http: httpx.Client | None = None

    def http(self) -> httpx.Client:
        with self._lock:  # Two first callers would otherwise make two clients, and nobody would ever close one of them.
            if self._http is None:  # The environment's proxies are not for this.
                self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
            return self._http

    def close(self) -> None:
        with self._lock:
            http, self._http = self._http, None
        if http is not None:
            http.close()


_connections = _Connections()


def close_connections() -> None:
    """End this process's connections to the gateway; the next call makes new ones."""
    _connections.close()
