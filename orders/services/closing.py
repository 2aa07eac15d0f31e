"""Ending an order on somebody's request: a buyer who cancels, a sweeper that finds what a lost timer left.

Both begin outside the queue, so the message that ends the order goes out as a half message around the change.
"""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from functools import partial

from common.errors import NotFound
from orders.models import InvalidTransition, Order, Reason, Status
from orders.services import asking, cases, lifecycle
from orders.services.changes import Step

#: Timers may be this late before the sweeper takes over.
TIMER_GRACE = timedelta(minutes=10)


def cancel_order(*, order_no: str, buyer_id: int, now: datetime) -> Order:
    """Cancel a buyer's own order, and return it as it then is; again, and nothing more happens.

    One that is paid, but not shipped, stays PAID until its money is back (see `cases`).

    Raises: NotFound: no such order of this buyer; InvalidTransition: it is shipped, or ended for another reason.
    """
    order = Order.objects.filter(order_no=order_no, buyer_id=buyer_id).first()
    if order is None:
        raise NotFound(f"You have no order {order_no}.")
    order = asking.change(order_no, partial(_cancel, now=now), now=now)
    if order.status == Status.PAID:
        with contextlib.suppress(cases.NothingLeft):  # All of it is asked back already.
            cases.open_case(order_no=order_no, buyer_id=buyer_id, wanted=None, reason=Reason.BUYER_CANCELED, now=now)
        return order
    if order.reason != Reason.BUYER_CANCELED:
        raise InvalidTransition(f"An order that is {order.status} cannot be canceled.", status=order.status)
    return order


def _cancel(order: Order, *, now: datetime) -> Step:
    if order.status == Status.PLACED:
        return lifecycle.cancel_placed(order, now=now, reason=Reason.BUYER_CANCELED)
    return lifecycle.begin_closing(order, reason=Reason.BUYER_CANCELED)


def close_overdue(*, now: datetime, limit: int) -> list[str]:
    """Begin to close orders whose timer should have rung long ago; return their numbers, at most `limit`.

    Raises: QueueUnavailable, or Django's OperationalError: nothing can be closed now.
    """
    overdue = Order.objects.overdue(now - TIMER_GRACE).order_by("expires_at")
    return asking.change_each(
        overdue, partial(lifecycle.begin_closing, reason=Reason.PAYMENT_TIMEOUT), now=now, limit=limit
    )


def cancel_silent(*, now: datetime, limit: int) -> list[str]:
    """Cancel pre-orders that somebody never answered and whose timer was lost; otherwise as `close_overdue`."""
    silent = Order.objects.silent(now - TIMER_GRACE).order_by("placed_at")
    return asking.change_each(silent, partial(lifecycle.cancel_silent, now=now), now=now, limit=limit)
