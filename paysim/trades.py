"""Trades: what a merchant asked to be paid, from the first look at the cashier to paid or closed, and refunds.

States: WAIT_BUYER_PAY -> TRADE_SUCCESS -> TRADE_CLOSED when everything was given back, or WAIT_BUYER_PAY ->
TRADE_CLOSED when the merchant closed it or it expired. A trade exists from the buyer's first visit: closing an order
whose cashier was never opened answers TRADE_NOT_EXIST, as at Alipay. All works inside the caller's transaction.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

from paysim import clock, notifications
from paysim.errors import refused
from paysim.faults import Kind, strike

WAITING = "WAIT_BUYER_PAY"
PAID = "TRADE_SUCCESS"
CLOSED = "TRADE_CLOSED"

_COLUMNS = (
    "trade_no, channel, app_id, sub_app_id, out_trade_no, token, subject, total_cents, refunded_cents, notify_url, "
    "return_url, status, expires_at_ms, paid_at_ms"
)


@dataclass(frozen=True)
class Trade:
    trade_no: str
    channel: str
    app_id: str
    sub_app_id: str
    out_trade_no: str
    #: Shown only to who came with a signed link: the right to press the buttons.
    token: str
    subject: str
    total_cents: int
    refunded_cents: int
    notify_url: str
    return_url: str
    status: str
    expires_at_ms: int | None
    paid_at_ms: int | None


@dataclass(frozen=True)
class Invoice:
    """What the merchant asks to be paid."""

    channel: str
    app_id: str
    out_trade_no: str
    subject: str
    total_cents: int
    notify_url: str
    return_url: str
    expires_at_ms: int | None
    #: WeChat Pay's appid.
    sub_app_id: str = ""


def open_trade(db: sqlite3.Connection, invoice: Invoice, *, now_ms: int) -> Trade:
    """The trade of this order, made at the first visit.

    Raises: Refusal: the same order number came before with another amount.
    """
    found = find(db, invoice.app_id, invoice.out_trade_no, now_ms=now_ms)
    if found is None:
        _insert(db, invoice, now_ms=now_ms)
        found = find(db, invoice.app_id, invoice.out_trade_no, now_ms=now_ms)
    assert found is not None
    if found.total_cents != invoice.total_cents:
        raise refused("ACQ.CONTEXT_INCONSISTENT", "the order number was used before with another amount")
    return found


def find(db: sqlite3.Connection, app_id: str, out_trade_no: str, *, now_ms: int) -> Trade | None:
    return _one(db, "app_id = ? AND out_trade_no = ? AND is_extra = 0", (app_id, out_trade_no), now_ms)


def by_trade_no(db: sqlite3.Connection, app_id: str, trade_no: str, *, now_ms: int) -> Trade | None:
    return _one(db, "app_id = ? AND trade_no = ?", (app_id, trade_no), now_ms)


def by_token(db: sqlite3.Connection, token: str, *, now_ms: int) -> Trade | None:
    return _one(db, "token = ?", (token,), now_ms)


def pay(db: sqlite3.Connection, trade: Trade, *, now_ms: int) -> Trade:
    """The buyer pressed "pay". Pressing twice pays once.

    Raises: Refusal: the trade is closed.
    """
    if trade.paid_at_ms is not None:
        return trade
    if trade.status == CLOSED and strike(db, Kind.PAY_AFTER_CLOSE, trade.out_trade_no) is None:
        raise refused("ACQ.TRADE_HAS_CLOSE", "the merchant closed this trade, or its time is over")
    db.execute("UPDATE trade SET status = ?, paid_at_ms = ? WHERE trade_no = ?", (PAID, now_ms, trade.trade_no))
    notifications.announce(db, trade.trade_no, now_ms=now_ms)
    if strike(db, Kind.SECOND_TRADE, trade.out_trade_no) is not None:
        _pay_again(db, trade, now_ms=now_ms)
    return _again(db, trade, now_ms)


def close(db: sqlite3.Connection, trade: Trade, *, now_ms: int) -> Trade:
    """The merchant wants no money for this order any more. A paid trade comes back as it is; closing twice is fine."""
    if trade.status == WAITING and strike(db, Kind.ANSWER_PAID_TO_CLOSE, trade.out_trade_no) is not None:
        return pay(db, trade, now_ms=now_ms)
    if trade.paid_at_ms is not None:
        return trade
    db.execute("UPDATE trade SET status = ? WHERE trade_no = ?", (CLOSED, trade.trade_no))
    return _again(db, trade, now_ms)


def _one(db: sqlite3.Connection, where: str, values: tuple[str, ...], now_ms: int) -> Trade | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM trade WHERE {where}", values).fetchone()
    if row is None:
        return None
    fields = dict(row)
    # Nobody watches the clock: a trade whose time is over is closed from the moment somebody looks.
    if fields["status"] == WAITING and fields["expires_at_ms"] is not None and fields["expires_at_ms"] <= now_ms:
        fields["status"] = CLOSED
    return Trade(**fields)


def _again(db: sqlite3.Connection, trade: Trade, now_ms: int) -> Trade:
    found = by_trade_no(db, trade.app_id, trade.trade_no, now_ms=now_ms)
    assert found is not None
    return found


def _insert(db: sqlite3.Connection, invoice: Invoice, *, now_ms: int, paid_at_ms: int | None = None) -> str:
    trade_no = clock.to_text(now_ms)[:10].replace("-", "") + f"{secrets.randbelow(10**20):020d}"
    values = {
        "trade_no": trade_no,
        "channel": invoice.channel,
        "app_id": invoice.app_id,
        "sub_app_id": invoice.sub_app_id,
        "out_trade_no": invoice.out_trade_no,
        "is_extra": 0 if paid_at_ms is None else 1,
        "token": secrets.token_urlsafe(24),
        "subject": invoice.subject,
        "total_cents": invoice.total_cents,
        "notify_url": invoice.notify_url,
        "return_url": invoice.return_url,
        "status": WAITING if paid_at_ms is None else PAID,
        "created_at_ms": now_ms,
        "expires_at_ms": invoice.expires_at_ms,
        "paid_at_ms": paid_at_ms,
    }
    names = ", ".join(values)
    places = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO trade ({names}) VALUES ({places})", tuple(values.values()))
    return trade_no


def _pay_again(db: sqlite3.Connection, trade: Trade, *, now_ms: int) -> None:
    invoice = Invoice(
        trade.channel,
        trade.app_id,
        trade.out_trade_no,
        trade.subject,
        trade.total_cents,
        trade.notify_url,
        trade.return_url,
        trade.expires_at_ms,
        trade.sub_app_id,
    )
    notifications.announce(db, _insert(db, invoice, now_ms=now_ms, paid_at_ms=now_ms), now_ms=now_ms)
