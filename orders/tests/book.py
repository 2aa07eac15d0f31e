"""Orders for tests, in any status, and whether their histories are whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import transaction

from messaging.events import Delayed, Event, Outgoing
from orders.models import TRANSITIONS, CatalogItem, Order, OrderEvent, OrderLine, Reason, Status
from orders.services import changes, lifecycle, shipping
from orders.services.changes import Decision

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(hours=24)
WEEK = timedelta(days=7)
ALICE, BOB = 1, 2
TOTAL_CENTS = 2500

CONFIRM = lifecycle.confirm(now=NOON, payment_window=DAY)
CANCEL_UNFILLED = lifecycle.cancel_refused(
    now=NOON,
    reason=Reason.OUT_OF_STOCK,
    details={"shortages": [{"sku": "TEAPOT", "wanted": 2, "available": 1}]},
)
TIMER_RINGS = lifecycle.close_when_due(now=NOON + DAY, attempt=1)
PAYMENT_CLOSED = lifecycle.finish_closing(now=NOON + DAY)
SHIPPED = shipping.ship(tracking_no="T1", now=NOON)
DELIVERED = shipping.deliver(now=NOON, receipt_window=WEEK)
RECEIPT_RINGS = shipping.complete_when_due(now=NOON + WEEK, attempt=1)
PAID = lifecycle.pay(payment_no="P1", amount_cents=TOTAL_CENTS, paid_at=NOON)

#: What takes a new order to each status.
ROADS: dict[Status, list[Decision]] = {
    Status.PLACED: [],
    Status.PENDING_PAYMENT: [CONFIRM],
    Status.CLOSING: [CONFIRM, TIMER_RINGS],
    Status.PAID: [CONFIRM, PAID],
    Status.SHIPPED: [CONFIRM, PAID, SHIPPED],
    Status.DELIVERED: [CONFIRM, PAID, SHIPPED, DELIVERED],
    Status.COMPLETED: [CONFIRM, PAID, SHIPPED, DELIVERED, RECEIPT_RINGS],
    Status.CLOSED: [CONFIRM, TIMER_RINGS, PAYMENT_CLOSED],
    Status.CANCELED: [CANCEL_UNFILLED],
}


def order(
    order_no: str = "M1", status: Status = Status.PLACED, *, buyer_id: int = ALICE, is_payable: bool = True
) -> Order:
    """An order of two teapots, brought to `status` the way orders get there."""
    new = Order.objects.create(
        order_no=order_no,
        buyer_id=buyer_id,
        status=Status.PLACED,
        version=1,
        total_cents=TOTAL_CENTS,
        currency="CNY",
        placed_at=NOON,
        payable_at=NOON if is_payable else None,
    )
    OrderLine.objects.create(order=new, sku="TEAPOT", title="Teapot", quantity=2, unit_price_cents=1250)
    OrderEvent.objects.create(order=new, version=1, tag="OrderPlaced", status=Status.PLACED, happened_at=NOON)
    for decision in ROADS[status]:
        take(order_no, decision)
    new.refresh_from_db()
    assert new.status == status
    return new


def take(order_no: str, decision: Decision) -> list[Outgoing]:
    """One message's effect on one order, as a consumer has it; what is said."""
    return take_all([(order_no, decision)])[0]


def take_all(decisions: list[tuple[str, Decision]]) -> list[list[Outgoing]]:
    with transaction.atomic(using="orders"):
        return changes.decide_and_move(decisions, now=NOON)


def tags(said: Iterable[Outgoing]) -> list[str]:
    return [one.event.tag if isinstance(one, Delayed) else one.tag for one in said]


def only(said: list[Outgoing]) -> Any:
    [event] = said
    assert isinstance(event, Event)
    return event


def first(said: list[Outgoing]) -> Any:
    return said[0]


def state(order_no: str = "M1") -> tuple[str, int]:
    return Order.objects.values_list("status", "version").get(order_no=order_no)


def check_histories() -> None:
    """Every order's events are 1..n, each by an allowed transition, and the last one is where the order is (I10)."""
    for one in Order.objects.prefetch_related("events"):
        events = sorted(one.events.all(), key=lambda event: event.version)
        assert [event.version for event in events] == list(range(1, one.version + 1)), one
        assert events[0].tag == "OrderPlaced"
        for before, after in pairwise(events):
            assert TRANSITIONS[Status(before.status)][Status(after.status)] == after.tag
        assert events[-1].status == one.status


def on_sale(**prices_cents: int) -> None:
    for sku, price_cents in prices_cents.items():
        CatalogItem.objects.create(sku=sku, version=1, title=sku.title(), price_cents=price_cents, on_sale=True)
