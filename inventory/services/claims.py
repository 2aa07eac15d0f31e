"""Who spoke first about an order's stock: the reservation or the cancellation. The first insert decides, for good."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connections

from inventory.models import StockClaim

_CLAIM = """
    INSERT INTO inventory_stockclaim (order_no, origin, claimed_at)
    SELECT order_no, %(origin)s, %(now)s FROM unnest(%(order_nos)s::text[]) AS given (order_no) ORDER BY order_no
    ON CONFLICT DO NOTHING
    RETURNING order_no"""


def claim(order_nos: Iterable[str], *, origin: StockClaim.Origin, now: datetime) -> set[str]:
    """Return those orders that nobody had claimed before.

    A statement of its own, on purpose: it waits for a rival that is claiming the same order, and only what is executed
    after it sees what that rival did. Sorted, so that rivals wait for each other in one direction only.
    """
    with connections["inventory"].cursor() as cursor:
        cursor.execute(_CLAIM, {"order_nos": list(order_nos), "origin": origin.value, "now": now})
        return {order_no for (order_no,) in cursor.fetchall()}
