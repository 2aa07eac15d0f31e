"""An order on its way: shipped, delivered, and its receipt confirmed by the buyer or by seven days without a word.

A timer of the queue reaches 3 days, so the week is a chain: each ring looks at the order's own deadline and, if that is
still ahead, sets the next one. A timer that got lost is made good by the sweeper (`complete_overdue`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from common.errors import NotFound
from messaging.events import Delayed
from orders.messages import CompleteOrder, OrderCompleted, OrderDelivered, OrderShipped
from orders.models import InvalidTransition, Order, Status
from orders.services import asking
from orders.services.changes import STAY, Decision, Step

#: One link of the chain; below what a timer reaches by more than clocks differ.
TIMER_REACH = timedelta(days=2)
#: Timers may be this late before the sweeper takes over.
TIMER_GRACE = timedelta(minutes=10)
_LATER = frozenset({Status.SHIPPED, Status.DELIVERED, Status.COMPLETED, Status.REFUNDED})


def ship(*, tracking_no: str, now: datetime) -> Decision:
    """The carrier has the parcel."""
    return partial(_ship, tracking_no=tracking_no, now=now)


def _ship(order: Order, *, tracking_no: str, now: datetime) -> Step:
    if order.status in _LATER:
        return STAY
    if order.status != Status.PAID:
        raise InvalidTransition(f"{order} was shipped without being paid.", status=order.status)
    shipped = OrderShipped(
        order_no=order.order_no, version=order.version + 1, buyer_id=order.buyer_id, tracking_no=tracking_no
    )
    return Step(Status.SHIPPED, say=(shipped,), write={"tracking_no": tracking_no, "shipped_at": now})


def deliver(*, now: datetime, receipt_window: timedelta) -> Decision:
    """The parcel arrived: the buyer has `receipt_window` to confirm it or to send something back."""
    return partial(_deliver, now=now, receipt_window=receipt_window)


def _deliver(order: Order, *, now: datetime, receipt_window: timedelta) -> Step:
    if order.status in _LATER - {Status.SHIPPED}:
        return STAY
    if order.status != Status.SHIPPED:
        raise InvalidTransition(f"{order} was delivered without being shipped.", status=order.status)
    due_at = now + receipt_window
    delivered = OrderDelivered(
        order_no=order.order_no, version=order.version + 1, buyer_id=order.buyer_id, receipt_due_at=due_at
    )
    return Step(
        Status.DELIVERED,
        say=(delivered, _ring(order, version=order.version + 1, attempt=1, due_at=due_at, now=now)),
        write={"delivered_at": now, "receipt_due_at": due_at},
    )


def complete_when_due(*, now: datetime, attempt: int) -> Decision:
    """A timer rang: the receipt is confirmed if it is due; if not, the next link of the chain is set."""
    return partial(_complete_when_due, now=now, attempt=attempt)


def _complete_when_due(order: Order, *, now: datetime, attempt: int) -> Step:
    if order.status != Status.DELIVERED:
        return STAY
    assert order.receipt_due_at is not None, f"{order} has no deadline"
    if now < order.receipt_due_at:
        return Step(
            say=(_ring(order, version=order.version, attempt=attempt + 1, due_at=order.receipt_due_at, now=now),)
        )
    return _complete(order, now=now, by_buyer=False)


def _ring(order: Order, *, version: int, attempt: int, due_at: datetime, now: datetime) -> Delayed:
    timer = CompleteOrder(order_no=order.order_no, version=version, attempt=attempt)
    return Delayed(timer, deliver_at=min(due_at, now + TIMER_REACH))


def _complete(order: Order, *, now: datetime, by_buyer: bool) -> Step:
    if order.status != Status.DELIVERED:
        return STAY
    completed = OrderCompleted(
        order_no=order.order_no, version=order.version + 1, buyer_id=order.buyer_id, by_buyer=by_buyer
    )
    return Step(Status.COMPLETED, say=(completed,), write={"ended_at": now})


def confirm_receipt(*, order_no: str, buyer_id: int, now: datetime) -> Order:
    """The buyer has the parcel; again, and nothing more happens. Return the order as it then is.

    Raises: NotFound: no such order of this buyer; InvalidTransition: it was not delivered.
    """
    if not Order.objects.filter(order_no=order_no, buyer_id=buyer_id).exists():
        raise NotFound(f"You have no order {order_no}.")
    order = asking.change(order_no, partial(_complete, now=now, by_buyer=True), now=now)
    if order.status != Status.COMPLETED:
        raise InvalidTransition(f"An order that is {order.status} cannot be received.", status=order.status)
    return order


def complete_overdue(*, now: datetime, limit: int) -> list[str]:
    """Complete orders whose chain of timers broke; return their numbers, at most `limit`.

    Raises: QueueUnavailable, or Django's OperationalError: nothing can be completed now.
    """
    overdue = Order.objects.receipt_overdue(now - TIMER_GRACE).order_by("receipt_due_at")
    return asking.change_each(overdue, partial(_complete, now=now, by_buyer=False), now=now, limit=limit)
