"""What orders tells the other services: the published contract of this service.

One topic for the life of orders, sharded by order number, so that everything about one order is one sequence; one topic
for the timers. An order's events are numbered 1..n by the order's own `version`: every change of an order is one event.
Money is integer cents.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec

from messaging.events import Event

ORDER_EVENTS = "order-events"
ORDER_TIMERS = "order-timers"


class Line(msgspec.Struct, frozen=True):
    """One article of an order, at the price the buyer saw."""

    sku: str
    quantity: int
    unit_price_cents: int


class OrderPlaced(Event, frozen=True, kw_only=True):
    """A pre-order exists; inventory is asked to hold its stock. Nobody but the buyer who placed it can see it yet."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    lines: tuple[Line, ...]


class OrderConfirmed(Event, frozen=True, kw_only=True):
    """The stock is held: the order may be paid until `expires_at`."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    currency: str
    expires_at: datetime


class OrderPaid(Event, frozen=True, kw_only=True):
    """The money is captured: whatever follows a purchase follows this event, never the raw payment."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    payment_no: str


class ClosePayment(Event, frozen=True, kw_only=True):
    """Payments is asked to close the trade at the gateway; the answer is `PaymentClosed` or `PaymentSucceeded`.

    A buyer may cancel before `OrderConfirmed` is on its way, so the command may overtake it and says the same again.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    currency: str
    expires_at: datetime
    reason: str


class OrderClosed(Event, frozen=True, kw_only=True):
    """The order ended unpaid, and no payment can succeed any more: what was held for it is given back."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    reason: str


class OrderCanceled(Event, frozen=True, kw_only=True):
    """The order ended before it could be paid (`OUT_OF_STOCK`, `BUYER_CANCELED`): what was held is given back."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    reason: str


class RefundLine(msgspec.Struct, frozen=True):
    """Units of an article that are given back, and the cents the buyer had paid for them, after every discount."""

    sku: str
    quantity: int
    amount_cents: int


class RefundRequested(Event, frozen=True, kw_only=True):
    """Payments is asked to give back `amount_cents`; the answer is `RefundSucceeded` or `RefundFailed` of this number.

    The same `refund_no` is the same refund, here and at the gateway: letters, digits and dashes, at most 32, one per
    refund of the whole shop (`common.ids`). `lines` explain the amount; what they do not cover is freight or goodwill.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    refund_no: str
    amount_cents: int
    lines: tuple[RefundLine, ...] = ()
    reason: str

    @property
    def key(self) -> str:
        return self.refund_no


class OrderRefunded(Event, frozen=True, kw_only=True):
    """The whole price went back to the buyer: the articles return to the shelf, the points are taken back."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    amount_cents: int
    lines: tuple[Line, ...]


class CloseUnpaidOrder(Event, frozen=True, kw_only=True):
    """A timer rang: if the order is due and still unpaid, close it. The deadline is the order's, not the message's."""

    topic: ClassVar[str] = ORDER_TIMERS
    order_no: str
    version: int
    #: How often the timer was set; an early ring sets it again, and each must be a message of its own.
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.order_no}:{self.attempt}"
