"""Payments can take the money: only from now on the order's buyer is told that it waits to be paid."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from orders.models import Order


def show_payable(order_nos: Collection[str], *, now: datetime) -> None:
    """Remember it of each order; again, or of one that has moved on, it changes nothing. Needs a transaction.

    It is no change of the order's status: a buyer who cancels, or is late, may do so before.
    """
    later = [order.order_no for order in Order.objects.payable_later(order_nos)]
    Order.objects.filter(order_no__in=later).update(payable_at=now)
