"""Units that shall not arrive after all: taken out of the parcel, kept with it, or called back with it.

the shipment is           some of its units            all that is left of it
PACKING                   the warehouse leaves them out, unless the parcel is closed already
PACKED, or closed         too late                     it stays in the warehouse
DISPATCHING               wait until the carrier has answered
DISPATCHED                too late                     the carrier brings it back, unless it has arrived
DELIVERED                 too late                     too late
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from common.backoff import retry_at
from fulfillment.messages import RecallParcel, SettleStop, ShipmentNotStopped, ShipmentStopped
from fulfillment.models import Shipment, Stop
from fulfillment.partners import client
from fulfillment.partners.client import Parcel, Unavailable
from fulfillment.services import looking
from messaging.events import Delayed, Event, Outgoing

_LOG = logging.getLogger(__name__)
_S = Shipment.Status


class Answer(StrEnum):
    """What the warehouse says about leaving units out."""

    LEFT_OUT = "LEFT_OUT"
    CLOSED = "CLOSED"  #: the parcel is packed as it was
    UNKNOWN = "UNKNOWN"
    NOT_ASKED = "NOT_ASKED"


def remember(*, refund_no: str, order_no: str, units: Mapping[str, int], now: datetime) -> SettleStop:
    """Write the wish down; what is returned finds out what can be done. Needs a transaction."""
    Stop.objects.get_or_create(
        refund_no=refund_no, defaults={"order_no": order_no, "units": dict(units), "asked_at": now}
    )
    return SettleStop(order_no=order_no, refund_no=refund_no)


def ask_warehouse(command: SettleStop) -> Answer:
    """Ask for a parcel without these units, while it is being packed."""
    shipment = Shipment.objects.prefetch_related("lines").filter(order_no=command.order_no).first()
    stop = Stop.objects.get(refund_no=command.refund_no)
    if shipment is None or shipment.status != _S.PACKING or stop.status != Stop.Status.ASKED:
        return Answer.NOT_ASKED
    revision = shipment.revision + 1
    try:
        packing = client.pack(
            reference=shipment.shipment_no,
            revision=revision,
            units=looking.units_of(shipment) - Counter(stop.units),
        )
    except Unavailable as error:
        _LOG.warning("stop %s: %s", stop.refund_no, error)
        return Answer.UNKNOWN
    return Answer.LEFT_OUT if packing.revision >= revision else Answer.CLOSED


def settle(command: SettleStop, answer: Answer, *, now: datetime) -> list[Outgoing]:
    """Decide by where the parcel is. Needs a transaction."""
    shipment = Shipment.objects.select_for_update().filter(order_no=command.order_no).first()
    stop = Stop.objects.select_for_update().get(refund_no=command.refund_no)
    if stop.status != Stop.Status.ASKED:
        return []
    if shipment is None or shipment.status == _S.DISPATCHING:
        return [_again(command, now)]  # A refund may be faster than `OrderPaid`, or just behind the carrier's van.
    is_whole = looking.units_of(shipment) == Counter(stop.units)
    if shipment.status == _S.PACKING:
        if answer in (Answer.UNKNOWN, Answer.NOT_ASKED):
            return [_again(command, now)]
        if answer == Answer.LEFT_OUT or is_whole:
            return [_take_out(shipment, stop, now)]
    elif shipment.status == _S.PACKED and is_whole:
        return [_take_out(shipment, stop, now)]
    elif shipment.status == _S.DISPATCHED and is_whole:
        _end(stop, Stop.Status.RECALLED)
        return [RecallParcel(order_no=command.order_no, refund_no=command.refund_no)]
    return [_too_late(shipment, stop)]


def ask_carrier(command: RecallParcel) -> Parcel | None:
    """Have the parcel brought back, any number of times; None: no answer."""
    shipment = Shipment.objects.get(order_no=command.order_no)
    try:
        return client.recall(tracking_no=shipment.tracking_no)
    except Unavailable as error:
        _LOG.warning("recall of %s: %s", shipment.shipment_no, error)
        return None


def settle_recalled(command: RecallParcel, answer: Parcel | None, *, now: datetime) -> list[Outgoing]:
    """On its way back, it is looked after by `TrackShipment` as before. Needs a transaction."""
    shipment = Shipment.objects.select_for_update().get(order_no=command.order_no)
    stop = Stop.objects.select_for_update().get(refund_no=command.refund_no)
    if stop.status != Stop.Status.RECALLED or shipment.status == _S.RETURNING:
        return []
    if answer is None:
        again = RecallParcel(order_no=command.order_no, refund_no=command.refund_no, attempt=command.attempt + 1)
        return [Delayed(again, retry_at(command.attempt, now))]
    if shipment.status == _S.DISPATCHED and answer.state in ("RETURNING", "RETURNED"):
        shipment.move(_S.RETURNING)
        return []
    return [_too_late(shipment, stop)]


def _take_out(shipment: Shipment, stop: Stop, now: datetime) -> Event:
    for line in shipment.lines.filter(sku__in=stop.units):
        line.stopped += stop.units[line.sku]
        line.save(update_fields=["stopped"])
    if looking.units_of(shipment):
        shipment.revision += 1
        shipment.save(update_fields=["revision"])
    else:
        shipment.move(_S.STOPPED, ended_at=now)
    _end(stop, Stop.Status.STOPPED)
    return ShipmentStopped(order_no=stop.order_no, version=shipment.version, refund_no=stop.refund_no)


def _too_late(shipment: Shipment, stop: Stop) -> Event:
    _end(stop, Stop.Status.TOO_LATE)
    return ShipmentNotStopped(order_no=stop.order_no, version=shipment.version, refund_no=stop.refund_no)


def _end(stop: Stop, status: Stop.Status) -> None:
    stop.status = status
    stop.save(update_fields=["status"])


def _again(command: SettleStop, now: datetime) -> Delayed:
    again = SettleStop(order_no=command.order_no, refund_no=command.refund_no, attempt=command.attempt + 1)
    return Delayed(again, retry_at(command.attempt, now))
