"""What coupons does about orders. Orders without coupons, which are most, cost it no statement."""

from __future__ import annotations

from collections.abc import Sequence

from common.clock import now
from coupons.messages import CouponLocked, CouponRefused
from coupons.rules import Item
from coupons.services import issuing, locking, settling
from coupons.services.issuing import Purchase
from coupons.services.locking import CANCELED_BEFORE, Request, Use, Verdict
from messaging.events import Event
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, Cut, OrderCanceled, OrderClosed, OrderPaid, OrderPlaced, OrderRefunded

BATCH = 64
#: A group of its own, so that what orders wait for never waits for presents.
REWARDS_GROUP = "coupons-rewards"


@consumer(topic=ORDER_EVENTS, tags=[OrderPlaced], batch=BATCH)
def lock(events: list[OrderPlaced]) -> list[list[Event]]:
    requests = [_request(event) for event in events if event.coupon or event.red_packet]
    verdicts = locking.lock_coupons(requests, now=now()) if requests else []
    by_order = {request.order_no: verdict for request, verdict in zip(requests, verdicts, strict=True)}
    return [_answer(event, by_order.get(event.order_no)) for event in events]


def _request(event: OrderPlaced) -> Request:
    items = [Item(line.sku, line.category, line.goods_cents) for line in event.lines]
    return Request(event.order_no, event.buyer_id, event.placed_at, items, _use(event.coupon), _use(event.red_packet))


def _use(cut: Cut | None) -> Use | None:
    return None if cut is None else Use(cut.coupon_no, cut.discount_cents)


def _answer(event: OrderPlaced, verdict: Verdict | None) -> list[Event]:
    if verdict is None or verdict == CANCELED_BEFORE:
        return []  # Nobody waits for an answer: it uses no coupon, or has ended already.
    if verdict.is_locked:
        return [CouponLocked(order_no=event.order_no, version=event.version)]
    refused = CouponRefused(
        order_no=event.order_no, version=event.version, coupon_no=verdict.coupon_no, reason=verdict.reason
    )
    return [refused]


@consumer(topic=ORDER_EVENTS, tags=[OrderCanceled, OrderClosed], batch=BATCH)
def release(events: list[OrderCanceled | OrderClosed]) -> list[list[Event]]:
    if orders := _with_coupons(events):
        settling.release_coupons(orders, now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], batch=BATCH)
def redeem(events: list[OrderPaid]) -> list[list[Event]]:
    if orders := _with_coupons(events):
        settling.redeem_coupons(orders, now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderRefunded], batch=BATCH)
def give_back(events: list[OrderRefunded]) -> list[list[Event]]:
    if orders := _with_coupons(events):
        settling.give_back_coupons(orders, now=now())
    return [[] for _ in events]


def _with_coupons(events: Sequence[OrderCanceled | OrderClosed | OrderPaid | OrderRefunded]) -> list[str]:
    return [event.order_no for event in events if event.coupons]


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], group=REWARDS_GROUP, batch=BATCH)
def reward(events: list[OrderPaid]) -> list[list[Event]]:
    purchases = [Purchase(event.order_no, event.buyer_id, event.total_cents) for event in events]
    return [[] if issued is None else [issued] for issued in issuing.reward_purchases(purchases, now=now())]
