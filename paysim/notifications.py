"""Callbacks: one row for each payment to announce, sent again by the schedule until the shop answers `success`.

The row is written in the transaction that records the payment: a crash between paying and calling back loses nothing.
Each attempt is signed anew (`notify_time` is its own), `notify_id` stays the same.
Source: opendocs.alipay.com, "asynchronous notification": 4 m, 10 m, 10 m, 1 h, 2 h, 6 h, 15 h after the first attempt.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

from paysim import clock, money

_MINUTE_MS = 60_000
RETRY_AFTER_MS = tuple(minutes * _MINUTE_MS for minutes in (4, 10, 10, 60, 120, 360, 900))


@dataclass(frozen=True)
class Notification:
    notify_id: str
    attempt_count: int
    trade_no: str
    app_id: str
    out_trade_no: str
    subject: str
    total_cents: int
    notify_url: str
    paid_at_ms: int

    def fields(self, *, now_ms: int) -> dict[str, str]:
        """The unsigned callback, in Alipay's names."""
        return {
            "notify_type": "trade_status_sync",
            "notify_id": self.notify_id,
            "notify_time": clock.to_text(now_ms),
            "charset": "utf-8",
            "version": "1.0",
            "app_id": self.app_id,
            "seller_id": seller_id(self.app_id),
            "trade_no": self.trade_no,
            "out_trade_no": self.out_trade_no,
            "subject": self.subject,
            "trade_status": "TRADE_SUCCESS",
            "total_amount": money.to_text(self.total_cents),
            "trans_currency": "CNY",
            "gmt_payment": clock.to_text(self.paid_at_ms),
        }


def seller_id(app_id: str) -> str:
    """The account that receives the money of an application; each application has one here."""
    return "2088" + app_id[-12:].rjust(12, "0")


def announce(db: sqlite3.Connection, trade_no: str, *, now_ms: int) -> None:
    db.execute(
        "INSERT INTO notification (notify_id, trade_no, next_at_ms) VALUES (?, ?, ?)",
        (secrets.token_hex(16), trade_no, now_ms),
    )


def due(db: sqlite3.Connection, *, now_ms: int, limit: int) -> list[Notification]:
    rows = db.execute(
        "SELECT notify_id, attempt_count, n.trade_no, app_id, out_trade_no, subject, total_cents, notify_url, "
        "paid_at_ms FROM notification n JOIN trade t ON t.trade_no = n.trade_no "
        "WHERE next_at_ms <= ? ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [Notification(**row) for row in rows]


def postpone(db: sqlite3.Connection, notify_id: str, *, until_ms: int) -> None:
    db.execute("UPDATE notification SET next_at_ms = ? WHERE notify_id = ?", (until_ms, notify_id))


def record(db: sqlite3.Connection, notification: Notification, *, answer: str, attempted_at_ms: int) -> None:
    """Write down how an attempt went, and when the next one is due, if any: only `success` ends the series early."""
    delivered = answer == "success"
    attempt_count = notification.attempt_count + 1
    is_last = delivered or attempt_count > len(RETRY_AFTER_MS)
    db.execute(
        "UPDATE notification SET attempt_count = ?, next_at_ms = ?, delivered = ?, last_answer = ? WHERE notify_id = ?",
        (
            attempt_count,
            None if is_last else attempted_at_ms + RETRY_AFTER_MS[attempt_count - 1],
            delivered,
            answer,
            notification.notify_id,
        ),
    )
