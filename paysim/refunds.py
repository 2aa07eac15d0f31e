"""Refunds: the same request number is the same refund, a new one a new refund, their sum at most what was paid."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from paysim.errors import refused
from paysim.trades import CLOSED, Trade


@dataclass(frozen=True)
class Refund:
    out_request_no: str
    amount_cents: int
    refunded_at_ms: int


def find(db: sqlite3.Connection, trade: Trade, out_request_no: str) -> Refund | None:
    row = db.execute(
        "SELECT out_request_no, amount_cents, refunded_at_ms FROM refund WHERE trade_no = ? AND out_request_no = ?",
        (trade.trade_no, out_request_no),
    ).fetchone()
    return None if row is None else Refund(**row)


def by_number(db: sqlite3.Connection, app_id: str, out_request_no: str) -> tuple[str, Refund] | None:
    """A merchant's refund with the number of its trade."""
    row = db.execute(
        "SELECT r.trade_no, out_request_no, amount_cents, refunded_at_ms FROM refund r "
        "JOIN trade t ON t.trade_no = r.trade_no WHERE app_id = ? AND out_request_no = ?",
        (app_id, out_request_no),
    ).fetchone()
    return None if row is None else (row["trade_no"], Refund(*tuple(row)[1:]))


def refund(
    db: sqlite3.Connection, trade: Trade, *, out_request_no: str, amount_cents: int, reason: str, now_ms: int
) -> bool:
    """Give money back; True when this call moved it, False when an earlier one of the same number had.

    Raises: Refusal: not paid, more than is left, or the number was used for another amount.
    """
    earlier = find(db, trade, out_request_no)
    if earlier is not None:
        if earlier.amount_cents != amount_cents:
            raise refused("ACQ.DISCORDANT_REPEAT_REQUEST", "the request number was used for another amount")
        return False
    if trade.paid_at_ms is None:
        raise refused("ACQ.TRADE_STATUS_ERROR", "the trade is not paid")
    if trade.refunded_cents + amount_cents > trade.total_cents:
        raise refused("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "the refunds would be more than was paid")
    db.execute(
        "INSERT INTO refund (trade_no, out_request_no, amount_cents, reason, refunded_at_ms) VALUES (?, ?, ?, ?, ?)",
        (trade.trade_no, out_request_no, amount_cents, reason, now_ms),
    )
    db.execute(
        "UPDATE trade SET refunded_cents = refunded_cents + ? WHERE trade_no = ?", (amount_cents, trade.trade_no)
    )
    # A trade that was given back whole is over.
    db.execute(
        "UPDATE trade SET status = ? WHERE trade_no = ? AND refunded_cents = total_cents", (CLOSED, trade.trade_no)
    )
    return True
