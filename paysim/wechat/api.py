"""WeChat Pay's gateway, APIv3: requests signed in their headers, answers too; the question is in path, query and JSON.

A refusal is a status of 4xx with `{"code": ..., "message": ...}`, signed like every answer; only a fault leaves a
caller without a signature. A trade exists from the moment the merchant's server asks for a link to the cashier.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, quote

import msgspec

from paysim import book, cashier, clock, faults, refunds, statement, trades
from paysim.errors import INVALID, Refusal, invalid, refused
from paysim.faults import Kind
from paysim.requests import json_as
from paysim.service import Service
from paysim.trades import Invoice, Trade
from paysim.wechat import signing
from paysim.wechat.callback import transaction
from paysim.wechat.statement import file, refund_id

CHANNEL = "wechat"
Number = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_*|-]{1,64}$")]
Cents = Annotated[int, msgspec.Meta(ge=1, le=10**11)]

#: In WeChat Pay's words, by the words of the book.
_STATES = {trades.WAITING: "NOTPAY", trades.PAID: "SUCCESS", trades.CLOSED: "CLOSED"}
_CODES = {
    "ACQ.TRADE_NOT_EXIST": (404, "ORDER_NOT_EXIST"),
    "ACQ.TRADE_STATUS_ERROR": (400, "ORDERPAID"),
    "ACQ.TRADE_HAS_CLOSE": (400, "ORDER_CLOSED"),
    "ACQ.CONTEXT_INCONSISTENT": (403, "OUT_TRADE_NO_USED"),
    "ACQ.DISCORDANT_REPEAT_REQUEST": (400, "INVALID_REQUEST"),
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": (403, "NOT_ENOUGH"),
    "NOT_PAID": (400, "INVALID_REQUEST"),
    "SIGN_ERROR": (401, "SIGN_ERROR"),
    "MCH_NOT_EXISTS": (400, "MCH_NOT_EXISTS"),
    "RESOURCE_NOT_EXISTS": (404, "RESOURCE_NOT_EXISTS"),
    "NO_STATEMENT_EXIST": (400, "NO_STATEMENT_EXIST"),
}


class Amount(msgspec.Struct, frozen=True):
    total: Cents
    currency: str = "CNY"


class Prepay(msgspec.Struct, frozen=True):
    appid: Annotated[str, msgspec.Meta(pattern="^wx[0-9a-z]{16}$")]
    mchid: str
    description: Annotated[str, msgspec.Meta(min_length=1, max_length=127)]
    out_trade_no: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_*|-]{6,32}$")]
    notify_url: str
    amount: Amount
    time_expire: str | None = None


class RefundAmount(msgspec.Struct, frozen=True):
    refund: Cents
    total: Cents
    currency: str


class RefundAsked(msgspec.Struct, frozen=True):
    transaction_id: Number
    out_refund_no: Number
    amount: RefundAmount
    reason: Annotated[str, msgspec.Meta(max_length=80)] = ""


class OfMerchant(msgspec.Struct, frozen=True):
    mchid: str


class Request(msgspec.Struct, frozen=True):
    """One request as it came; `target` is path and query, byte for byte, for they are signed."""

    method: str
    path: str
    query: str
    authorization: str
    body: bytes

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Call:
    """One authenticated request, inside its transaction."""

    service: Service
    db: sqlite3.Connection
    mchid: str
    number: str
    query: dict[str, str]
    body: bytes
    now_ms: int

    def trade(self) -> Trade:
        found = trades.find(self.db, self.mchid, self.number, now_ms=self.now_ms)
        if found is None:
            raise refused("ACQ.TRADE_NOT_EXIST", "no such order")
        return found


def answer(service: Service, request: Request) -> Answer:
    """The signed answer to one request.

    Raises: Unanswered: a fault was asked for.
    """
    now_ms = service.clock.now_ms()
    try:
        status, node = _carry_out(service, request, now_ms)
    except Refusal as refusal:
        status, code = _CODES.get(refusal.sub_code, (400, "PARAM_ERROR" if refusal.code == INVALID else "RULE_LIMIT"))
        node = {"code": code, "message": refusal.sentence}
    except faults.GatewayConfused:
        status, node = 500, {"code": "SYSTEM_ERROR", "message": "ask again with the same numbers"}
    body = node if isinstance(node, bytes) else msgspec.json.encode(node) if node is not None else b""
    headers = signing.signed_headers(service.keys.wechat_private, service.keys.wechat_serial, body, now_ms=now_ms)
    return Answer(status, headers | {"Content-Type": "application/json; charset=utf-8"}, body)


def _carry_out(service: Service, request: Request, now_ms: int) -> tuple[int, object]:
    mchid = signing.authenticate(
        request.authorization, request.method, request.target, request.body, service.keys, now_ms=now_ms
    )
    handler, number = _route(request)
    query = dict(parse_qsl(request.query))

    def work() -> tuple[int, object]:
        try:
            with service.database.transaction() as db:
                return handler(Call(service, db, mchid, number, query, request.body, now_ms))
        finally:
            service.notifier.wake()

    order = number or _order_in(service, mchid, request.body, now_ms)
    return faults.through_weather(service.database, order, work)


def _route(request: Request) -> tuple[Callable[[Call], tuple[int, object]], str]:
    for method, pattern, handler in _ROUTES:
        match = pattern.fullmatch(request.path)
        if match and method == request.method:
            return handler, match["number"] if "number" in pattern.groupindex else ""
    raise invalid("PARAM_ERROR", "no such method and path")


def _order_in(service: Service, mchid: str, body: bytes, now_ms: int) -> str:
    """Which order a body is about, for the faults; a refund names its transaction instead."""
    try:
        fields = msgspec.json.decode(body or b"{}", type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    if "transaction_id" not in fields:
        return str(fields.get("out_trade_no", ""))
    with service.database.transaction() as db:
        trade = trades.by_trade_no(db, mchid, str(fields["transaction_id"]), now_ms=now_ms)
    return "" if trade is None else trade.out_trade_no


def _prepay(call: Call) -> tuple[int, object]:
    asked = json_as(call.body, Prepay)
    _require_own(call, asked.mchid)
    if asked.amount.currency != "CNY":
        raise invalid("PARAM_ERROR", "currency is CNY")
    try:
        expires_at_ms = None if asked.time_expire is None else clock.from_rfc3339(asked.time_expire)
    except ValueError as error:
        raise invalid("PARAM_ERROR", f"time_expire: {error}") from error
    invoice = Invoice(
        CHANNEL,
        call.mchid,
        asked.out_trade_no,
        asked.description,
        asked.amount.total,
        cashier.notify_url(asked.notify_url, call.service.config),
        "",
        expires_at_ms,
        asked.appid,
    )
    trade = trades.open_trade(call.db, invoice, now_ms=call.now_ms)
    if trade.paid_at_ms is not None:
        raise refused("ACQ.TRADE_STATUS_ERROR", "the order is paid")
    if trade.status == trades.CLOSED:
        raise refused("ACQ.TRADE_HAS_CLOSE", "the order is closed")
    return 200, {"h5_url": f"{call.service.config.address}/cashier/wechat?prepay_id={quote(trade.token)}"}


def _query(call: Call) -> tuple[int, object]:
    _require_own(call, call.query.get("mchid", ""))
    trade = call.trade()
    state = "REFUND" if trade.refunded_cents else _STATES[trade.status]
    return 200, transaction(
        mchid=call.mchid,
        appid=trade.sub_app_id,
        trade_no=trade.trade_no,
        out_trade_no=trade.out_trade_no,
        state=state,
        cents=trade.total_cents,
        paid_at_ms=trade.paid_at_ms,
    )


def _close(call: Call) -> tuple[int, object]:
    _require_own(call, json_as(call.body, OfMerchant).mchid)
    trade = trades.close(call.db, call.trade(), now_ms=call.now_ms)
    if trade.paid_at_ms is not None:
        # Answered, not raised: the fault that pays in this very moment must be kept.
        return 400, {"code": "ORDERPAID", "message": "the order is paid and cannot be closed"}
    return 204, None


def _refund(call: Call) -> tuple[int, object]:
    asked = json_as(call.body, RefundAsked)
    trade = trades.by_trade_no(call.db, call.mchid, asked.transaction_id, now_ms=call.now_ms)
    if trade is None:
        raise refused("RESOURCE_NOT_EXISTS", "no such transaction")
    if (asked.amount.total, asked.amount.currency) != (trade.total_cents, "CNY"):
        raise invalid("PARAM_ERROR", "total and currency are not those of the order")
    if trade.paid_at_ms is None:
        raise refused("NOT_PAID", "the order is not paid")
    refunds.refund(
        call.db,
        trade,
        out_request_no=asked.out_refund_no,
        amount_cents=asked.amount.refund,
        reason=asked.reason,
        now_ms=call.now_ms,
    )
    found = refunds.find(call.db, trade, asked.out_refund_no)
    assert found is not None
    is_under_way = faults.strike(call.db, Kind.PROCESSING, trade.out_trade_no) is not None
    return 200, _told(trade, found, is_under_way=is_under_way)


def _refund_query(call: Call) -> tuple[int, object]:
    found = refunds.by_number(call.db, call.mchid, call.number)
    if found is None:
        raise refused("RESOURCE_NOT_EXISTS", "no refund of this number")
    trade_no, refund = found
    trade = trades.by_trade_no(call.db, call.mchid, trade_no, now_ms=call.now_ms)
    assert trade is not None
    return 200, _told(trade, refund, is_under_way=False)


def _told(trade: Trade, refund: refunds.Refund, *, is_under_way: bool) -> dict[str, object]:
    told: dict[str, object] = {
        "refund_id": refund_id(trade.trade_no, refund.out_request_no),
        "out_refund_no": refund.out_request_no,
        "transaction_id": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "channel": "ORIGINAL",
        "status": "PROCESSING" if is_under_way else "SUCCESS",
        "amount": {"total": trade.total_cents, "refund": refund.amount_cents, "currency": "CNY"},
    }
    return told if is_under_way else told | {"success_time": clock.to_rfc3339(refund.refunded_at_ms)}


def _statement(call: Call) -> tuple[int, object]:
    day = call.query.get("bill_date", "")
    content = _file_of(call, day)
    host = call.service.config.address
    return 200, {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        "download_url": f"{host}/v3/billdownload/file?bill_date={day}",
    }


def _download(call: Call) -> tuple[int, object]:
    return 200, _file_of(call, call.query.get("bill_date", ""))


def _file_of(call: Call, day: str) -> bytes:
    try:
        lines = statement.of_day(call.db, call.mchid, day, now_ms=call.now_ms)
    except statement.NotYet as error:
        raise refused("NO_STATEMENT_EXIST", str(error)) from error
    if not lines:
        raise refused("NO_STATEMENT_EXIST", f"nothing happened on {day}")
    return file(lines, mchid=call.mchid)


def _book(call: Call) -> tuple[int, object]:
    asked = msgspec.convert(call.query, book.Asked)
    return 200, {"entries": book.page(call.db, call.mchid, asked)}


def _require_own(call: Call, mchid: str) -> None:
    if mchid != call.mchid:
        raise invalid("PARAM_ERROR", "mchid is not the one that signed")


_NUMBER = "(?P<number>[0-9A-Za-z_*|-]{1,64})"
_ORDER = f"/v3/pay/transactions/out-trade-no/{_NUMBER}"
_ROUTES = [
    (method, re.compile(pattern, re.ASCII), handler)
    for method, pattern, handler in (
        ("POST", "/v3/pay/transactions/h5", _prepay),
        ("GET", _ORDER, _query),
        ("POST", f"{_ORDER}/close", _close),
        ("POST", "/v3/refund/domestic/refunds", _refund),
        ("GET", f"/v3/refund/domestic/refunds/{_NUMBER}", _refund_query),
        ("GET", "/v3/bill/tradebill", _statement),
        ("GET", "/v3/billdownload/file", _download),
        ("GET", "/v3/paysim/book", _book),
    )
]
