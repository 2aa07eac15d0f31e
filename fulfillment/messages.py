"""What fulfillment tells the other services, and its commands to itself: the published contract.

Sharded by order number. `version` counts the changes of the shipment, 1..n. A third party that does not answer is asked
again by a delayed copy of the command, so it never blocks the queue behind it.
"""

from __future__ import annotations

from typing import ClassVar

from messaging.events import Event

SHIPMENT_EVENTS = "shipment-events"
FULFILLMENT_WORK = "fulfillment-work"


class ShipmentDispatched(Event, frozen=True, kw_only=True):
    """The carrier has the parcel."""

    topic: ClassVar[str] = SHIPMENT_EVENTS
    order_no: str
    version: int
    shipment_no: str
    tracking_no: str


class ShipmentDelivered(Event, frozen=True, kw_only=True):
    """The parcel is with the buyer."""

    topic: ClassVar[str] = SHIPMENT_EVENTS
    order_no: str
    version: int
    shipment_no: str


class ShipmentStopped(Event, frozen=True, kw_only=True):
    """The units of this refund never left, or came back before they were delivered: the answer to `StopShipment`."""

    topic: ClassVar[str] = SHIPMENT_EVENTS
    order_no: str
    version: int
    refund_no: str

    @property
    def key(self) -> str:
        return self.refund_no


class ShipmentNotStopped(Event, frozen=True, kw_only=True):
    """It was too late, or a sealed parcel would have had to be opened: the units arrive and have to be sent back."""

    topic: ClassVar[str] = SHIPMENT_EVENTS
    order_no: str
    version: int
    refund_no: str

    @property
    def key(self) -> str:
        return self.refund_no


class ReturnReceived(Event, frozen=True, kw_only=True):
    """What the buyer sent back is in the warehouse: the answer to `ExpectReturn`."""

    topic: ClassVar[str] = SHIPMENT_EVENTS
    order_no: str
    version: int
    refund_no: str

    @property
    def key(self) -> str:
        return self.refund_no


class PackShipment(Event, frozen=True, kw_only=True):
    """Fulfillment to itself: ask the warehouse to pack, or whether it has."""

    topic: ClassVar[str] = FULFILLMENT_WORK
    order_no: str
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.order_no}:{self.attempt}"


class DispatchShipment(PackShipment, frozen=True, kw_only=True):
    """Fulfillment to itself: hand the parcel to the carrier."""


class TrackShipment(PackShipment, frozen=True, kw_only=True):
    """Fulfillment to itself: ask the carrier where the parcel is."""


class SettleStop(Event, frozen=True, kw_only=True):
    """Fulfillment to itself: find out whether the units of a refund can still be kept."""

    topic: ClassVar[str] = FULFILLMENT_WORK
    order_no: str
    refund_no: str
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.refund_no}:{self.attempt}"


class RecallParcel(SettleStop, frozen=True, kw_only=True):
    """Fulfillment to itself: ask the carrier to bring the parcel back."""


class FetchReturn(SettleStop, frozen=True, kw_only=True):
    """Fulfillment to itself: have a buyer's parcel fetched, or ask where it is."""
