"""What inventory tells the other services: answers about the stock of orders, and the catalog as it changes.

Answers are sharded by order number and carry the version of the order they answer. Money is integer cents.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from messaging.events import Event

STOCK_EVENTS = "stock-events"


class Shortage(msgspec.Struct, frozen=True):
    """An article of which fewer are available than the order wants."""

    sku: str
    wanted: int
    available: int


class StockReserved(Event, frozen=True, kw_only=True):
    """Every article of the order is held for it."""

    topic: ClassVar[str] = STOCK_EVENTS
    order_no: str
    version: int


class StockReservationFailed(Event, frozen=True, kw_only=True):
    """Nothing is held for the order; `shortages` names every article that fell short."""

    topic: ClassVar[str] = STOCK_EVENTS
    order_no: str
    version: int
    reason: str
    shortages: tuple[Shortage, ...]


class SkuChanged(Event, frozen=True, kw_only=True):
    """An article is new, or something about it changed; `version` counts the changes of the article."""

    topic: ClassVar[str] = STOCK_EVENTS
    sku: str
    version: int
    title: str
    price_cents: int
    on_sale: bool
    #: What coupons may be limited to; the weight that freight is reckoned by; how many one buyer may have.
    category: str = ""
    weight_grams: int = 0
    per_buyer_limit: int | None = None

    @property
    def key(self) -> str:
        return f"{self.sku}:{self.version}"

    @property
    def sharding_key(self) -> str:
        return self.sku
