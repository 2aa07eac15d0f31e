"""Callbacks: one row for each payment to announce, sent again by its dialect's schedule until the shop accepts it.

The row is written in the transaction that records the payment: a crash between paying and calling back loses nothing.
Each attempt is signed anew, `notify_id` stays the same.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

#: How long a callback waits to be overtaken by another one (the fault `reorder`).
_HELD_MS_MAX = 60_000


@dataclass(frozen=True)
class Notification:
    notify_id: str
    attempt_count: int
    trade_no: str
    channel: str
    app_id: str
    sub_app_id: str
    out_trade_no: str
    subject: str
    total_cents: int
    notify_url: str
    paid_at_ms: int


def announce(db: sqlite3.Connection, trade_no: str, *, now_ms: int) -> None:
    db.execute(
        "INSERT INTO notification (notify_id, trade_no, next_at_ms) VALUES (?, ?, ?)",
        (secrets.token_hex(16), trade_no, now_ms),
    )


def due(db: sqlite3.Connection, *, now_ms: int, limit: int) -> list[Notification]:
    rows = db.execute(
        "SELECT notify_id, attempt_count, n.trade_no, channel, app_id, sub_app_id, out_trade_no, subject, total_cents, "
        "notify_url, paid_at_ms FROM notification n JOIN trade t ON t.trade_no = n.trade_no "
        "WHERE next_at_ms <= ? ORDER BY next_at_ms LIMIT ?",
        (now_ms, limit),
    )
    return [Notification(**row) for row in rows]


def postpone(db: sqlite3.Connection, notify_id: str, *, until_ms: int) -> None:
    db.execute("UPDATE notification SET next_at_ms = ? WHERE notify_id = ?", (until_ms, notify_id))


def hold(db: sqlite3.Connection, notify_id: str, *, now_ms: int) -> None:
    """Let another callback overtake this one."""
    until_ms = now_ms + _HELD_MS_MAX
    db.execute("UPDATE notification SET next_at_ms = ?, held = 1 WHERE notify_id = ?", (until_ms, notify_id))


def record(
    db: sqlite3.Connection,
    notification: Notification,
    *,
    answer: str,
    is_accepted: bool,
    retry_after_ms: tuple[int, ...],
    attempted_at_ms: int,
) -> None:
    """Write down how an attempt went, and when the next one is due, if any: only acceptance ends the series early."""
    attempt_count = notification.attempt_count + 1
    is_last = is_accepted or attempt_count > len(retry_after_ms)
    next_at_ms = None if is_last else attempted_at_ms + retry_after_ms[attempt_count - 1]
    db.execute(
        "UPDATE notification SET attempt_count = ?, next_at_ms = ?, delivered = ?, last_answer = ? WHERE notify_id = ?",
        (attempt_count, next_at_ms, is_accepted, answer, notification.notify_id),
    )
    db.execute("UPDATE notification SET next_at_ms = ?, held = 0 WHERE held = 1", (attempted_at_ms,))
