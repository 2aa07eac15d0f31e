"""What can be asked about orders. Nothing here writes or locks; everything is filtered by its owner."""

from __future__ import annotations

from django.db.models import Q

from common import ids
from common.errors import NotFound
from orders.models import Order, RefundCase


def order_of(*, order_no: str, buyer_id: int) -> Order:
    """One order of this buyer, with its lines.

    Raises: NotFound: there is none, or it is somebody else's, which looks the same from outside.
    """
    found = None
    if ids.is_number(order_no, ids.ORDER):
        found = Order.objects.filter(order_no=order_no, buyer_id=buyer_id).prefetch_related("lines").first()
    if found is None:
        raise NotFound("You have no such order.")
    return found


def orders_of(*, buyer_id: int, limit: int, before: str | None) -> list[Order]:
    """A buyer's orders, newest first, from behind the order `before`; unconfirmed ones are left out.

    Raises: NotFound: `before` is no order of this buyer.
    """
    orders = Order.objects.visible_to(buyer_id)
    if before is not None:
        last = order_of(order_no=before, buyer_id=buyer_id)
        orders = orders.filter(Q(placed_at__lt=last.placed_at) | Q(placed_at=last.placed_at, order_no__lt=before))
    return list(orders.order_by("-placed_at", "-order_no").prefetch_related("lines")[:limit])


def refund_cases_of(*, order_no: str, buyer_id: int) -> list[RefundCase]:
    """The refund cases of one order of this buyer, oldest first.

    Raises: NotFound.
    """
    order = order_of(order_no=order_no, buyer_id=buyer_id)
    return list(order.refund_cases.order_by("requested_at", "refund_no").prefetch_related("lines"))


def open_cases(*, limit: int) -> list[RefundCase]:
    """What waits for somebody, oldest first: cases to decide, and refunds that failed for good."""
    cases = RefundCase.objects.filter(status__in=[RefundCase.Status.AWAITING_APPROVAL, RefundCase.Status.FAILED])
    return list(cases.order_by("requested_at").prefetch_related("lines")[:limit])
