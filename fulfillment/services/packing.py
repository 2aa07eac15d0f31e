"""The warehouse packs: it is asked, answers when it will be ready, and is asked again then."""

from __future__ import annotations

import logging
from datetime import datetime

from common.backoff import retry_at
from fulfillment.messages import DispatchShipment, PackShipment
from fulfillment.models import Shipment
from fulfillment.partners import client
from fulfillment.partners.client import Packing, Unavailable
from fulfillment.services import looking
from messaging.events import Delayed, Outgoing

_LOG = logging.getLogger(__name__)
_S = Shipment.Status


def ask_warehouse(command: PackShipment) -> Packing | None:
    """What the warehouse says of this shipment; None: it did not answer, or there is nothing to ask."""
    shipment = Shipment.objects.prefetch_related("lines").get(order_no=command.order_no)
    if shipment.status != _S.PACKING:
        return None
    try:
        return client.pack(reference=shipment.shipment_no, revision=shipment.revision, units=looking.units_of(shipment))
    except Unavailable as error:
        _LOG.warning("shipment %s: %s", shipment.shipment_no, error)
        return None


def settle(command: PackShipment, answer: Packing | None, *, now: datetime) -> list[Outgoing]:
    """Go on once the parcel is closed; otherwise come back. Needs a transaction."""
    shipment = Shipment.objects.select_for_update().get(order_no=command.order_no)
    if shipment.status != _S.PACKING:
        return []
    again = PackShipment(order_no=command.order_no, attempt=command.attempt + 1)
    if answer is None:
        return [Delayed(again, retry_at(command.attempt, now))]
    if answer.state != "PACKED":
        return [Delayed(again, looking.look_at(answer.ready_at_ms, now))]
    shipment.move(_S.PACKED)
    return [DispatchShipment(order_no=command.order_no)]
