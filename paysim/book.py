"""The book itself: every trade of a merchant with what was paid and given back, page by page, ordered by trade number.

No real gateway lets anybody read it whole; it is for the shop's checker, which must know now and not tomorrow. What
real gateways hand out, a statement per day, is `statement`.
"""

from __future__ import annotations

import sqlite3
from typing import Annotated

import msgspec

PAGE_ROWS = 500


class Asked(msgspec.Struct, frozen=True):
    #: The last trade_no of the page before; empty for the first page.
    after_trade_no: Annotated[str, msgspec.Meta(pattern="^[0-9]{0,64}$")] = ""


def page(db: sqlite3.Connection, app_id: str, asked: Asked) -> list[dict[str, object]]:
    """At most `PAGE_ROWS` entries; an empty page is the end. Amounts are integer cents."""
    rows = db.execute(
        "SELECT trade_no, out_trade_no, status, paid_at_ms IS NOT NULL AS paid, total_cents, refunded_cents, "
        "(SELECT count(*) FROM refund r WHERE r.trade_no = t.trade_no) AS refund_count "
        "FROM trade t WHERE app_id = ? AND trade_no > ? ORDER BY trade_no LIMIT ?",
        (app_id, asked.after_trade_no, PAGE_ROWS),
    )
    return [{**dict(row), "paid": bool(row["paid"])} for row in rows]
