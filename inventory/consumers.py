"""What inventory does about the orders it hears of. Batches: each handler is a few statements, however many come."""

from __future__ import annotations

from collections.abc import Sequence

from common.clock import now
from inventory.messages import StockReservationFailed, StockReserved
from inventory.services import reserving, settling
from inventory.services.reserving import CANCELED_BEFORE, Request, Verdict
from messaging.events import Event
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, OrderCanceled, OrderClosed, OrderPaid, OrderPlaced, OrderRefunded

BATCH = 64


@consumer(topic=ORDER_EVENTS, tags=[OrderPlaced], batch=BATCH)
def reserve(events: list[OrderPlaced]) -> list[list[Event]]:
    requests = [
        Request(event.order_no, reserving.needs_of((line.sku, line.quantity) for line in event.lines))
        for event in events
    ]
    verdicts = reserving.reserve_stock(requests, now=now())
    return [_answer(event, verdict) for event, verdict in zip(events, verdicts, strict=True)]


def _answer(event: OrderPlaced, verdict: Verdict) -> list[Event]:
    if verdict.is_held:
        return [StockReserved(order_no=event.order_no, version=event.version)]
    if verdict == CANCELED_BEFORE:
        return []  # The order has ended already, and who ended it knows.
    failed = StockReservationFailed(
        order_no=event.order_no, version=event.version, reason="OUT_OF_STOCK", shortages=verdict.shortages
    )
    return [failed]


@consumer(topic=ORDER_EVENTS, tags=[OrderCanceled, OrderClosed], batch=BATCH)
def release(events: list[OrderCanceled | OrderClosed]) -> list[list[Event]]:
    settling.release_stock(_order_nos(events), now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], batch=BATCH)
def sell(events: list[OrderPaid]) -> list[list[Event]]:
    settling.sell_stock(_order_nos(events), now=now())
    return [[] for _ in events]


@consumer(topic=ORDER_EVENTS, tags=[OrderRefunded], batch=BATCH)
def take_back(events: list[OrderRefunded]) -> list[list[Event]]:
    returns = [
        settling.Return(event.order_no, event.refund_no, line.sku, line.quantity)
        for event in events
        for line in event.lines
    ]
    settling.return_stock(returns, now=now())
    return [[] for _ in events]


def _order_nos(events: Sequence[OrderCanceled | OrderClosed | OrderPaid]) -> list[str]:
    return [event.order_no for event in events]
