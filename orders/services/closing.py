"""Ending an order on somebody's request: a buyer who cancels, a sweeper that finds what a lost timer left.

Both begin outside the queue, so the message that ends the order goes out as a half message around the change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from django.db.models import QuerySet

from common.errors import NotFound
from messaging.database import is_unreachable
from messaging.events import Event
from messaging.transactions import QueueUnavailable, send_in_transaction
from orders.models import InvalidTransition, Order, Reason, Status
from orders.services import changes, lifecycle
from orders.services.changes import STAY, ConcurrentChange, Step

log = logging.getLogger(__name__)

#: How often a request decides again when messages move the order at the same moment.
_ATTEMPT_COUNT_MAX = 5
#: Timers may be this late before the sweeper takes over.
TIMER_GRACE = timedelta(minutes=10)
#: Overdue orders that are read at once.
_CHUNK = 100


def cancel_order(*, order_no: str, buyer_id: int, now: datetime) -> Order:
    """Cancel a buyer's own unpaid order, and return it as it then is; again, and nothing more happens.

    Raises: NotFound: no such order of this buyer; InvalidTransition: it is paid, or ended for another reason.
    """
    order = Order.objects.filter(order_no=order_no, buyer_id=buyer_id).first()
    if order is None:
        raise NotFound(f"You have no order {order_no}.")
    order = _end(order_no, partial(_cancel, now=now), now=now)
    if order.reason != Reason.BUYER_CANCELED:
        raise InvalidTransition(f"An order that is {order.status} cannot be canceled.", status=order.status)
    return order


def _cancel(order: Order, *, now: datetime) -> Step:
    if order.status == Status.PLACED:
        return lifecycle.cancel_placed(order, now=now, reason=Reason.BUYER_CANCELED)
    return lifecycle.begin_closing(order, reason=Reason.BUYER_CANCELED)


def close_overdue(*, now: datetime, limit: int) -> list[str]:
    """Begin to close orders whose timer should have rung long ago; return their numbers, at most `limit`.

    One that cannot be closed is logged and left; it takes nobody's place, so those behind it are always reached.

    Raises: QueueUnavailable, or Django's OperationalError: nothing can be closed now.
    """
    overdue = Order.objects.overdue(now - TIMER_GRACE).order_by("expires_at")
    return _end_each(overdue, partial(lifecycle.begin_closing, reason=Reason.PAYMENT_TIMEOUT), now=now, limit=limit)


def cancel_silent(*, now: datetime, limit: int) -> list[str]:
    """Cancel pre-orders that somebody never answered and whose timer was lost; otherwise as `close_overdue`."""
    silent = Order.objects.silent(now - TIMER_GRACE).order_by("placed_at")
    return _end_each(silent, partial(lifecycle.cancel_silent, now=now), now=now, limit=limit)


def _end_each(orders: QuerySet[Order], decide: Callable[[Order], Step], *, now: datetime, limit: int) -> list[str]:
    ended: list[str] = []
    for order_no in orders.values_list("order_no", flat=True).iterator(chunk_size=_CHUNK):
        if len(ended) == limit:
            break
        if _end_if_possible(order_no, decide, now=now):
            ended.append(order_no)
    return ended


def _end_if_possible(order_no: str, decide: Callable[[Order], Step], *, now: datetime) -> bool:
    """Raises: QueueUnavailable, OperationalError: no order is to blame."""
    try:
        _end(order_no, decide, now=now)
    except Exception as error:
        if isinstance(error, QueueUnavailable) or is_unreachable(error):
            raise
        log.exception("order %s should have ended long ago and cannot be ended", order_no)
        return False
    return True


def _end(order_no: str, decide: Callable[[Order], Step], *, now: datetime) -> Order:
    """Take the decision's step, if it has one, in a transactional send; return the order as it then is."""
    for _ in range(_ATTEMPT_COUNT_MAX):
        order = Order.objects.get(order_no=order_no)
        step = decide(order)
        if step is STAY:
            return order
        [event] = step.say
        assert isinstance(event, Event)
        try:
            send_in_transaction(event, partial(_move_or_raise, order, step, now), using="orders")
        except ConcurrentChange:
            continue
        return Order.objects.get(order_no=order_no)
    raise ConcurrentChange(f"order {order_no} kept changing")


def _move_or_raise(order: Order, step: Step, now: datetime) -> None:
    if not changes.move([(order, step)], now=now):
        raise ConcurrentChange(f"{order} changed meanwhile")
