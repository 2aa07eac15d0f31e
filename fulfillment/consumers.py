"""What fulfillment does when it is told something. Third parties are asked before the transaction, never inside it.

Three groups: a carrier that hangs holds up no warehouse, and neither of them the writing down of what came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from common.clock import now
from fulfillment.messages import (
    FULFILLMENT_WORK,
    DispatchShipment,
    FetchReturn,
    PackShipment,
    RecallParcel,
    SettleStop,
    TrackShipment,
)
from fulfillment.partners.client import Packing, Parcel
from fulfillment.services import creating, dispatching, packing, returning, stopping
from messaging.events import Event, Outgoing
from messaging.registry import consumer
from orders.messages import ORDER_EVENTS, ExpectReturn, OrderPaid, StopShipment

BATCH = 64
WAREHOUSE, CARRIER = "fulfillment-warehouse", "fulfillment-carrier"


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid], batch=BATCH)
def create(events: list[OrderPaid]) -> list[list[Event]]:
    creating.create_shipments(events, now=now())
    return [[PackShipment(order_no=event.order_no)] for event in events]


@consumer(topic=ORDER_EVENTS, tags=[StopShipment])
def stop(command: StopShipment) -> Iterable[Outgoing]:
    return [stopping.remember(refund_no=command.refund_no, order_no=command.order_no, units=_units(command), now=now())]


@consumer(topic=ORDER_EVENTS, tags=[ExpectReturn])
def expect_return(command: ExpectReturn) -> Iterable[Outgoing]:
    return [returning.expect(refund_no=command.refund_no, order_no=command.order_no, units=_units(command), now=now())]


def _units(command: StopShipment | ExpectReturn) -> Counter[str]:
    return Counter({line.sku: line.quantity for line in command.lines})


@consumer(topic=FULFILLMENT_WORK, tags=[PackShipment], group=WAREHOUSE, before=packing.ask_warehouse)
def pack(command: PackShipment, answer: Packing | None) -> Iterable[Outgoing]:
    return packing.settle(command, answer, now=now())


@consumer(topic=FULFILLMENT_WORK, tags=[SettleStop], group=WAREHOUSE, before=stopping.ask_warehouse)
def settle_stop(command: SettleStop, answer: stopping.Answer) -> Iterable[Outgoing]:
    return stopping.settle(command, answer, now=now())


@consumer(topic=FULFILLMENT_WORK, tags=[DispatchShipment], group=CARRIER, before=dispatching.ask_to_fetch)
def dispatch(command: DispatchShipment, answer: Parcel | None) -> Iterable[Outgoing]:
    return dispatching.settle_fetched(command, answer, now=now())


@consumer(topic=FULFILLMENT_WORK, tags=[TrackShipment], group=CARRIER, before=dispatching.ask_where)
def track(command: TrackShipment, answer: Parcel | None) -> Iterable[Outgoing]:
    return dispatching.settle_tracked(command, answer, now=now())


@consumer(topic=FULFILLMENT_WORK, tags=[RecallParcel], group=CARRIER, before=stopping.ask_carrier)
def recall(command: RecallParcel, answer: Parcel | None) -> Iterable[Outgoing]:
    return stopping.settle_recalled(command, answer, now=now())


@consumer(topic=FULFILLMENT_WORK, tags=[FetchReturn], group=CARRIER, before=returning.ask_carrier)
def fetch_return(command: FetchReturn, answer: Parcel | None) -> Iterable[Outgoing]:
    return returning.settle(command, answer, now=now())
