"""What accounts tells the other services: effects of orders on a buyer's account."""

from __future__ import annotations

from typing import ClassVar

from messaging.events import Event

ACCOUNT_EVENTS = "account-events"


class PointsGranted(Event, frozen=True, kw_only=True):
    """The points of a paid order are on the buyer's account; `version` is that of the `OrderPaid` it answers."""

    topic: ClassVar[str] = ACCOUNT_EVENTS
    order_no: str
    version: int
    buyer_id: int
    points: int
