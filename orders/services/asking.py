"""Changes that begin outside the queue: somebody asks over HTTP, or a sweeper finds something.

Nothing redelivers such a request, so what it says goes out as a half message around the change: said if, and only if,
the order changed. The change is decided on what was read, and decided again if a message moved the order meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from messaging.database import is_unreachable
from messaging.events import Event
from messaging.transactions import QueueUnavailable, send_in_transaction
from orders.models import Order, OrderQuerySet
from orders.services import changes
from orders.services.changes import STAY, ConcurrentChange, Step

log = logging.getLogger(__name__)

#: How often a request decides again when messages move the order at the same moment.
ATTEMPT_COUNT_MAX = 5
#: Orders that a sweep reads at once.
_CHUNK = 100


def change(order_no: str, decide: Callable[[Order], Step], *, now: datetime) -> Order:
    """Take the decision's step, if it has one, in a transactional send; return the order as it then is.

    Raises: QueueUnavailable, ConcurrentChange: nothing changed, and trying again is safe; whatever `decide` raises.
    """
    for _ in range(ATTEMPT_COUNT_MAX):
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


def change_each(orders: OrderQuerySet, decide: Callable[[Order], Step], *, now: datetime, limit: int) -> list[str]:
    """Change the first `limit` of some orders and return their numbers.

    One that cannot be changed is logged and left; it takes nobody's place, so those behind it are always reached.

    Raises: QueueUnavailable, or Django's OperationalError: nothing can be changed now.
    """
    changed: list[str] = []
    for order_no in orders.values_list("order_no", flat=True).iterator(chunk_size=_CHUNK):
        if len(changed) == limit:
            break
        if _change_or_log(order_no, decide, now=now):
            changed.append(order_no)
    return changed


def _change_or_log(order_no: str, decide: Callable[[Order], Step], *, now: datetime) -> bool:
    """Raises: QueueUnavailable, OperationalError: no order is to blame."""
    try:
        change(order_no, decide, now=now)
    except Exception as error:
        if isinstance(error, QueueUnavailable) or is_unreachable(error):
            raise
        log.exception("order %s is overdue and cannot be changed", order_no)
        return False
    return True


def _move_or_raise(order: Order, step: Step, now: datetime) -> None:
    if not changes.move([(order, step)], now=now):
        raise ConcurrentChange(f"{order} changed meanwhile")
