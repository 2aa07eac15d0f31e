"""Who spoke first about an order: its placing, or its end. The first insert decides, for good.

A service that holds something for an order (coupons, balance) claims the order before it decides. An end that overtakes
the placing leaves the claim as a TOMBSTONE, and the placing that comes later does nothing. The claim also remembers why
an order was refused, so that a repeated question hears the same answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db import connections, models, router


class Claim(models.Model):
    """Base of a service's table of claims."""

    class Origin(models.TextChoices):
        PLACING = "PLACING"
        TOMBSTONE = "TOMBSTONE"

    order_no = models.CharField(max_length=32, primary_key=True)
    origin = models.CharField(max_length=16, choices=Origin.choices)
    #: Why the order was refused; None: it was not.
    refusal = models.JSONField(null=True)
    claimed_at = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.order_no} {self.origin}"


def claim(
    table: type[models.Model], order_nos: Iterable[str], *, origin: models.TextChoices, now: datetime
) -> set[str]:
    """Return those orders that nobody had claimed before. Needs a transaction.

    `table` is a `Claim`, or has its columns `order_no`, `origin` and `claimed_at`.

    A statement of its own, on purpose: it waits for a rival that is claiming the same order, and only what is executed
    after it sees what that rival did. Sorted, so that rivals wait for each other in one direction only.
    """
    with connections[router.db_for_write(table)].cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO {table._meta.db_table} (order_no, origin, claimed_at)
            SELECT order_no, %(origin)s, %(now)s FROM unnest(%(order_nos)s::text[]) AS given (order_no)
            ORDER BY order_no
            ON CONFLICT DO NOTHING
            RETURNING order_no""",
            {"order_nos": list(order_nos), "origin": origin.value, "now": now},
        )
        return {order_no for (order_no,) in cursor.fetchall()}


def remember_refusals(table: type[Claim], refusals: Mapping[str, Any]) -> None:
    """By order number. Few orders are refused, and they cost a statement each."""
    for order_no, refusal in refusals.items():
        table._default_manager.filter(order_no=order_no).update(refusal=refusal)
