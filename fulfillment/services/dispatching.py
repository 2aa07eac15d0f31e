"""The carrier fetches the parcel and brings it: asked, asked again when it should be there, and told about to orders.

Between PACKED and DISPATCHED lies DISPATCHING, written before the carrier is asked: from then on the parcel may have
left, whether or not its answer reaches us, so whoever wants to stop it has to ask the carrier, too.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import transaction

from common.backoff import retry_at
from fulfillment.messages import (
    DispatchShipment,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentStopped,
    TrackShipment,
)
from fulfillment.models import Shipment, Stop
from fulfillment.partners import client
from fulfillment.partners.client import Parcel, Unavailable
from fulfillment.services import looking
from messaging.events import Delayed, Outgoing

_LOG = logging.getLogger(__name__)
_S = Shipment.Status


def ask_to_fetch(command: DispatchShipment) -> Parcel | None:
    """Hand the parcel over, any number of times; None: no answer, or it was stopped before."""
    with transaction.atomic(using="fulfillment"):
        shipment = Shipment.objects.select_for_update().get(order_no=command.order_no)
        if shipment.status == _S.PACKED:
            shipment.move(_S.DISPATCHING)
    if shipment.status != _S.DISPATCHING:
        return None
    try:
        return client.fetch(reference=shipment.shipment_no)
    except Unavailable as error:
        _LOG.warning("shipment %s: %s", shipment.shipment_no, error)
        return None


def settle_fetched(command: DispatchShipment, answer: Parcel | None, *, now: datetime) -> list[Outgoing]:
    """Needs a transaction."""
    shipment = Shipment.objects.select_for_update().get(order_no=command.order_no)
    if shipment.status != _S.DISPATCHING:
        return []
    if answer is None:
        again = DispatchShipment(order_no=command.order_no, attempt=command.attempt + 1)
        return [Delayed(again, retry_at(command.attempt, now))]
    shipment.move(_S.DISPATCHED, tracking_no=answer.tracking_no, dispatched_at=now)
    dispatched = ShipmentDispatched(
        order_no=shipment.order_no,
        version=shipment.version,
        shipment_no=shipment.shipment_no,
        tracking_no=answer.tracking_no,
    )
    look = TrackShipment(order_no=shipment.order_no)
    return [dispatched, Delayed(look, looking.look_at(answer.ready_at_ms, now))]


def ask_where(command: TrackShipment) -> Parcel | None:
    """Where the carrier says the parcel is; None: no answer, or nobody wants to know any more."""
    shipment = Shipment.objects.get(order_no=command.order_no)
    if shipment.status not in (_S.DISPATCHED, _S.RETURNING):
        return None
    try:
        return client.track(tracking_no=shipment.tracking_no)
    except Unavailable as error:
        _LOG.warning("shipment %s: %s", shipment.shipment_no, error)
        return None


def settle_tracked(command: TrackShipment, answer: Parcel | None, *, now: datetime) -> list[Outgoing]:
    """Needs a transaction."""
    shipment = Shipment.objects.select_for_update().get(order_no=command.order_no)
    if shipment.status not in (_S.DISPATCHED, _S.RETURNING):
        return []
    if answer is not None and (shipment.status, answer.state) == (_S.DISPATCHED, "DELIVERED"):
        shipment.move(_S.DELIVERED, ended_at=now)
        return [
            ShipmentDelivered(order_no=shipment.order_no, version=shipment.version, shipment_no=shipment.shipment_no)
        ]
    if answer is not None and (shipment.status, answer.state) == (_S.RETURNING, "RETURNED"):
        return _come_back(shipment, now)
    again = TrackShipment(order_no=command.order_no, attempt=command.attempt + 1)
    at = retry_at(command.attempt, now) if answer is None else looking.look_at(answer.ready_at_ms, now)
    return [Delayed(again, at)]


def _come_back(shipment: Shipment, now: datetime) -> list[Outgoing]:
    """The recalled parcel is in the warehouse again: whoever waits for it gets the money."""
    shipment.move(_S.STOPPED, ended_at=now)
    recalled = Stop.objects.select_for_update().filter(order_no=shipment.order_no, status=Stop.Status.RECALLED)
    said: list[Outgoing] = []
    for stop in recalled:
        stop.status = Stop.Status.STOPPED
        stop.save(update_fields=["status"])
        said.append(ShipmentStopped(order_no=shipment.order_no, version=shipment.version, refund_no=stop.refund_no))
    return said
