"""What accounts does about paid and refunded orders."""

from __future__ import annotations

from accounts.messages import PointsGranted
from accounts.services import points
from accounts.services.points import Purchase
from common.clock import now
from messaging.events import Event
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, OrderPaid, OrderRefunded

BATCH = 64


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
    purchases = [Purchase(event.order_no, event.buyer_id, event.amount_cents) for event in events]
    points.revoke_points(purchases, now=now())
    return [[] for _ in events]
