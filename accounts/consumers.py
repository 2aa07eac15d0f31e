"""What accounts does about orders: points in one group, the balance in another, so that neither waits for the other."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.messages import BalanceHeld, BalanceRefused, PointsGranted
from accounts.services import balance, holding, points
from accounts.services.balance import GivenBack
from accounts.services.holding import CANCELED_BEFORE, Request, Verdict
from accounts.services.points import Purchase, Revocation
from common.clock import now
from messaging.events import Event
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, OrderCanceled, OrderClosed, OrderPaid, OrderPlaced, OrderRefunded

BATCH = 64
BALANCE_GROUP = "accounts-balance"


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], batch=BATCH)
def grant_points(events: list[OrderPaid]) -> list[list[Event]]:
    purchases = [Purchase(event.order_no, event.buyer_id, event.total_cents) for event in events]
    points.grant_points(purchases, now=now())
    return [[_granted(event, purchase)] for event, purchase in zip(events, purchases, strict=True)]


def _granted(event: OrderPaid, purchase: Purchase) -> PointsGranted:
    return PointsGranted(
        order_no=event.order_no, version=event.version, buyer_id=event.buyer_id, points=purchase.points
    )


@consumer(topic=ORDER_EVENTS, tags=[OrderRefunded], batch=BATCH)
def revoke_points(events: list[OrderRefunded]) -> list[list[Event]]:
    points.revoke_points([_revocation(event) for event in events], now=now())
    return [[] for _ in events]


def _revocation(event: OrderRefunded) -> Revocation:
    before_cents = event.total_cents - event.refunded_before_cents
    return Revocation(event.order_no, event.refund_no, event.buyer_id, before_cents, before_cents - event.amount_cents)


@consumer(topic=ORDER_EVENTS, tags=[OrderPlaced], group=BALANCE_GROUP, batch=BATCH)
def hold_balance(events: list[OrderPlaced]) -> list[list[Event]]:
    requests = [Request(event.order_no, event.buyer_id, event.balance_cents) for event in events if event.balance_cents]
    verdicts = holding.hold_balance(requests, now=now()) if requests else []
    by_order = {request.order_no: verdict for request, verdict in zip(requests, verdicts, strict=True)}
    return [_answer(event, by_order.get(event.order_no)) for event in events]


def _answer(event: OrderPlaced, verdict: Verdict | None) -> list[Event]:
    if verdict is None or verdict == CANCELED_BEFORE:
        return []  # Nobody waits for an answer: it wants no balance, or has ended already.
    if verdict.is_held:
        return [BalanceHeld(order_no=event.order_no, version=event.version)]
    refused = BalanceRefused(
        order_no=event.order_no,
        version=event.version,
        wanted_cents=event.balance_cents,
        available_cents=verdict.available_cents or 0,
    )
    return [refused]


@consumer(topic=ORDER_EVENTS, tags=[OrderCanceled, OrderClosed], group=BALANCE_GROUP, batch=BATCH)
def release_balance(events: list[OrderCanceled | OrderClosed]) -> list[list[Event]]:
    if orders := _with_balance(events):
        balance.release_balance(orders, now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], group=BALANCE_GROUP, batch=BATCH)
def capture_balance(events: list[OrderPaid]) -> list[list[Event]]:
    if orders := _with_balance(events):
        balance.capture_balance(orders, now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderRefunded], group=BALANCE_GROUP, batch=BATCH)
def give_back_balance(events: list[OrderRefunded]) -> list[list[Event]]:
    parts = [GivenBack(event.key, event.order_no, event.balance_cents) for event in events if event.balance_cents]
    if parts:
        balance.give_back(parts, now=now())
    return [[] for _ in events]


def _with_balance(events: Sequence[OrderCanceled | OrderClosed | OrderPaid]) -> list[str]:
    return [event.order_no for event in events if event.balance_cents]
