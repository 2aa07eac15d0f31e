"""The gateway: `POST /gateway.do`, one signed form in, one signed JSON object out, as the merchants' servers call it.

Layout of an answer: `{"alipay_trade_query_response": NODE, "sign": "..."}`; the signature is over the bytes of NODE.
A refusal is an answer too (HTTP 200, `code` 40004 and a `sub_code`); only a fault leaves a caller without one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from paysim import book, clock, faults, money, refunds, trades
from paysim import statement as statements
from paysim.alipay import statement
from paysim.alipay.signing import authenticate, sign
from paysim.config import REQUEST_BYTES_MAX
from paysim.errors import INVALID, SUCCESS, Refusal, invalid, refused
from paysim.requests import form_fields, json_as
from paysim.service import Service

OrderNo = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
#: A signed request is good for this long, so that a recorded one cannot be sent again next week.
_FRESH_MS = 15 * 60_000

Node = dict[str, object]


class TradeRef(msgspec.Struct, frozen=True):
    out_trade_no: OrderNo | None = None
    trade_no: OrderNo | None = None


class RefundAsked(TradeRef, frozen=True, kw_only=True):
    refund_amount: str
    out_request_no: OrderNo
    refund_reason: Annotated[str, msgspec.Meta(max_length=256)] = ""


class StatementAsked(msgspec.Struct, frozen=True):
    bill_date: Annotated[str, msgspec.Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    bill_type: Literal["trade"]


class RefundRef(TradeRef, frozen=True, kw_only=True):
    out_request_no: OrderNo


@dataclass(frozen=True)
class Call:
    """One authenticated request, inside its transaction."""

    service: Service
    db: sqlite3.Connection
    app_id: str
    content: str
    now_ms: int

    def trade(self, ref: TradeRef) -> trades.Trade:
        found = None
        if ref.trade_no is not None:
            found = trades.by_trade_no(self.db, self.app_id, ref.trade_no, now_ms=self.now_ms)
        elif ref.out_trade_no is not None:
            found = trades.find(self.db, self.app_id, ref.out_trade_no, now_ms=self.now_ms)
        if found is None:
            raise refused("ACQ.TRADE_NOT_EXIST", "no such trade; it begins when the buyer opens the cashier")
        return found


def answer(service: Service, body: bytes) -> bytes:
    """The signed answer to one request.

    Raises: Unanswered: a fault was asked for.
    """
    method = "error"
    try:
        fields = form_fields(body, bytes_max=REQUEST_BYTES_MAX)
        app_id = authenticate(fields, service.keys)
        method = fields.get("method", "")
        node = _carry_out(service, app_id, method, fields)
    except Refusal as refusal:
        node = _refusal(refusal)
    return _signed(service, method if method in _METHODS else "error", node)


def _carry_out(service: Service, app_id: str, method: str, fields: dict[str, str]) -> Node:
    now_ms = service.clock.now_ms()
    _require_fresh(fields.get("timestamp", ""), now_ms)
    if method not in _METHODS:
        raise invalid("isv.invalid-method", "no such method")
    content = fields.get("biz_content", "")
    order = json_as(content, TradeRef).out_trade_no or ""

    def work() -> Node:
        try:
            with service.database.transaction() as db:
                return _METHODS[method](Call(service, db, app_id, content, now_ms))
        finally:
            service.notifier.wake()

    try:
        node = faults.through_weather(service.database, order, work)
    except faults.GatewayConfused as error:
        raise refused("ACQ.SYSTEM_ERROR", "ask again with the same numbers") from error
    return {"code": SUCCESS, "msg": "Success", **node}


def _require_fresh(timestamp: str, now_ms: int) -> None:
    try:
        is_fresh = abs(clock.from_text(timestamp) - now_ms) <= _FRESH_MS
    except ValueError:
        is_fresh = False
    if not is_fresh:
        raise invalid("isv.invalid-timestamp", "the timestamp is missing or not of the last 15 minutes")


def _signed(service: Service, method: str, node: Node) -> bytes:
    name = method.replace(".", "_") + "_response"
    inner = msgspec.json.encode(node)
    signature = sign(service.keys.private, inner)
    return msgspec.json.encode({name: msgspec.Raw(inner), "sign": signature})


def _refusal(refusal: Refusal) -> Node:
    msg = "Invalid Arguments" if refusal.code == INVALID else "Business Failed"
    return {"code": refusal.code, "msg": msg, "sub_code": refusal.sub_code, "sub_msg": refusal.sentence}


def _query(call: Call) -> Node:
    trade = call.trade(json_as(call.content, TradeRef))
    node: Node = {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        "trade_status": trade.status,
        "total_amount": money.to_text(trade.total_cents),
        "trans_currency": "CNY",
    }
    if trade.paid_at_ms is not None:
        node["send_pay_date"] = clock.to_text(trade.paid_at_ms)
    return node


def _close(call: Call) -> Node:
    trade = trades.close(call.db, call.trade(json_as(call.content, TradeRef)), now_ms=call.now_ms)
    if trade.paid_at_ms is not None:
        # Answered, not raised: the fault that pays in this very moment must be kept.
        return _refusal(refused("ACQ.TRADE_STATUS_ERROR", "the trade is paid and cannot be closed"))
    return {"trade_no": trade.trade_no, "out_trade_no": trade.out_trade_no}


def _refund(call: Call) -> Node:
    asked = json_as(call.content, RefundAsked)
    trade = call.trade(asked)
    try:
        amount_cents = money.from_text(asked.refund_amount)
    except ValueError as error:
        raise invalid("isv.invalid-parameter", f"refund_amount: {error}") from error
    moved = refunds.refund(
        call.db,
        trade,
        out_request_no=asked.out_request_no,
        amount_cents=amount_cents,
        reason=asked.refund_reason,
        now_ms=call.now_ms,
    )
    refunded_cents = call.trade(asked).refunded_cents
    given_back = refunds.find(call.db, trade, asked.out_request_no)
    assert given_back is not None
    return {
        "trade_no": trade.trade_no,
        "out_trade_no": trade.out_trade_no,
        # All that was ever given back of this trade; whether this very call moved money, `fund_change` says.
        "refund_fee": money.to_text(refunded_cents),
        "fund_change": "Y" if moved else "N",
        "gmt_refund_pay": clock.to_text(given_back.refunded_at_ms),
    }


def _refund_query(call: Call) -> Node:
    ref = json_as(call.content, RefundRef)
    trade = call.trade(ref)
    found = refunds.find(call.db, trade, ref.out_request_no)
    node: Node = {"trade_no": trade.trade_no, "out_trade_no": trade.out_trade_no, "out_request_no": ref.out_request_no}
    if found is not None:
        node["refund_status"] = "REFUND_SUCCESS"
        node["refund_amount"] = money.to_text(found.amount_cents)
        node["gmt_refund_pay"] = clock.to_text(found.refunded_at_ms)
    return node


def _book(call: Call) -> Node:
    return {"entries": book.page(call.db, call.app_id, json_as(call.content, book.Asked))}


def _statement(call: Call) -> Node:
    """A link to the file, good for half a minute."""
    day = json_as(call.content, StatementAsked).bill_date
    try:
        statements.of_day(call.db, call.app_id, day, now_ms=call.now_ms)
    except statements.NotYet as error:
        raise refused("isp.bill_not_exist", str(error)) from error
    ticket = statement.ticket(call.service.keys.private, call.app_id, day, now_ms=call.now_ms)
    return {"bill_download_url": f"{call.service.config.address}/statement?ticket={ticket}"}


def download(service: Service, ticket: str) -> bytes | None:
    """The file behind such a link; None when the link is not one, or not any more."""
    now_ms = service.clock.now_ms()
    claim = statement.redeem(service.keys.private, ticket, now_ms=now_ms)
    if claim is None:
        return None
    app_id, day = claim
    with service.database.transaction() as db:
        return statement.archive(statements.of_day(db, app_id, day, now_ms=now_ms), app_id=app_id, day=day)


_METHODS: dict[str, Callable[[Call], Node]] = {
    "alipay.trade.query": _query,
    "alipay.trade.close": _close,
    "alipay.trade.refund": _refund,
    "alipay.trade.fastpay.refund.query": _refund_query,
    "alipay.data.dataservice.bill.downloadurl.query": _statement,
    "paysim.book.query": _book,
}
