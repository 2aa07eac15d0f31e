"""The statement of a day: every payment and every refund of a merchant, a line each, in the order they happened.

A day is one in China, and it has a statement once it is over. Each dialect writes the lines in its own file format.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from paysim import clock


class NotYet(Exception):
    """The day is not over, or the text is no day."""


@dataclass(frozen=True)
class Line:
    trade_no: str
    out_trade_no: str
    sub_app_id: str
    subject: str
    total_cents: int
    created_at_ms: int
    #: When the money moved.
    at_ms: int
    #: Empty and 0 in the line of a payment.
    out_request_no: str
    refund_cents: int


def of_day(db: sqlite3.Connection, app_id: str, day: str, *, now_ms: int) -> list[Line]:
    """Raises: NotYet."""
    try:
        begin_ms, end_ms = clock.day_bounds_ms(day)
    except ValueError as error:
        raise NotYet(str(error)) from error
    if now_ms < end_ms:
        raise NotYet(f"{day} is not over")
    rows = db.execute(
        "SELECT trade_no, out_trade_no, sub_app_id, subject, total_cents, created_at_ms, paid_at_ms AS at_ms, "
        "'' AS out_request_no, 0 AS refund_cents FROM trade "
        "WHERE app_id = :app_id AND paid_at_ms >= :begin AND paid_at_ms < :end "
        "UNION ALL "
        "SELECT t.trade_no, out_trade_no, sub_app_id, subject, total_cents, created_at_ms, refunded_at_ms, "
        "out_request_no, amount_cents FROM refund r JOIN trade t ON t.trade_no = r.trade_no "
        "WHERE app_id = :app_id AND refunded_at_ms >= :begin AND refunded_at_ms < :end "
        "ORDER BY at_ms, trade_no, out_request_no",
        {"app_id": app_id, "begin": begin_ms, "end": end_ms},
    )
    return [Line(**row) for row in rows]
