"""What accounts tells the other services: answers about a buyer's balance, and effects of orders on the account."""

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


class BalanceHeld(Event, frozen=True, kw_only=True):
    """What the order wants of its buyer's balance is held for it."""

    topic: ClassVar[str] = ACCOUNT_EVENTS
    order_no: str
    version: int


class BalanceRefused(Event, frozen=True, kw_only=True):
    """Nothing is held: the buyer has less than the order wants."""

    topic: ClassVar[str] = ACCOUNT_EVENTS
    order_no: str
    version: int
    wanted_cents: int
    available_cents: int
