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
    #: What coupon and red packet together take off the whole line.
    discount_cents: int = 0
    #: How much of the rest the buyer's balance pays.
    balance_cents: int = 0
    category: str = ""

    @property
    def goods_cents(self) -> int:
        """The whole line at list price."""
        return self.quantity * self.unit_price_cents

    @property
    def price_cents(self) -> int:
        """What the whole line costs after the discount: exactly this is given back when it is returned."""
        return self.goods_cents - self.discount_cents


class Cut(msgspec.Struct, frozen=True):
    """A coupon or red packet, and what it takes off the order's price."""

    coupon_no: str
    discount_cents: int


class Address(msgspec.Struct, frozen=True):
    """Where the goods go, as it was when the order was placed; `region` is an ISO 3166-2 code such as `CN-SH`."""

    recipient: str
    phone: str
    region: str
    city: str
    street: str


class OrderPlaced(Event, frozen=True, kw_only=True):
    """A pre-order exists. Nobody but the buyer who placed it can see it yet.

    Inventory is asked to hold its stock; coupons to lock `coupon` and `red_packet`, if it has any; accounts to hold
    `balance_cents`, if that is not 0. They answer in any order, and whoever is not needed does not answer.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    placed_at: datetime
    #: Goods at list price, less the discount, plus freight.
    total_cents: int
    freight_cents: int = 0
    #: The part of the total that the balance pays; the rest goes through the payment company.
    balance_cents: int = 0
    coupon: Cut | None = None
    red_packet: Cut | None = None
    lines: tuple[Line, ...]


class OrderConfirmed(Event, frozen=True, kw_only=True):
    """Everything the order needs is held for it: it may be paid until `expires_at`."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    balance_cents: int = 0
    currency: str
    expires_at: datetime

    @property
    def payable_cents(self) -> int:
        """What the payment company is to take."""
        return self.total_cents - self.balance_cents


class OrderPaid(Event, frozen=True, kw_only=True):
    """The order is paid in full: whatever follows a purchase follows this event, never the raw payment.

    An order that the balance pays alone has no payment, and an empty `payment_no`.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    freight_cents: int = 0
    balance_cents: int = 0
    coupons: tuple[str, ...] = ()
    payment_no: str
    lines: tuple[Line, ...] = ()
    address: Address | None = None


class OrderShipped(Event, frozen=True, kw_only=True):
    """The parcel is with the carrier, under this number: from now on the order cannot be canceled, only returned."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    tracking_no: str


class OrderDelivered(Event, frozen=True, kw_only=True):
    """The parcel arrived. Without a word from the buyer its receipt counts as confirmed at `receipt_due_at`."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    receipt_due_at: datetime


class OrderCompleted(Event, frozen=True, kw_only=True):
    """The receipt is confirmed, by the buyer or by time."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    by_buyer: bool


class ClosePayment(Event, frozen=True, kw_only=True):
    """Payments is asked to close the trade at the gateway; the answer is `PaymentClosed` or `PaymentSucceeded`.

    A buyer may cancel before `OrderConfirmed` is on its way, so the command may overtake it and says the same again.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    total_cents: int
    balance_cents: int = 0
    currency: str
    expires_at: datetime
    reason: str

    @property
    def payable_cents(self) -> int:
        """What the payment company was to take."""
        return self.total_cents - self.balance_cents


class OrderClosed(Event, frozen=True, kw_only=True):
    """The order ended unpaid, and no payment can succeed any more: what was held for it is given back."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    reason: str
    #: What others than inventory may hold for it.
    coupons: tuple[str, ...] = ()
    balance_cents: int = 0


class OrderCanceled(Event, frozen=True, kw_only=True):
    """The order ended before it could be paid, and why (`orders.models.Reason`): what was held is given back."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    reason: str
    #: What others than inventory may hold for it.
    coupons: tuple[str, ...] = ()
    balance_cents: int = 0


class RefundLine(msgspec.Struct, frozen=True):
    """Units of an article that are given back, and the cents the buyer had paid for them, after every discount."""

    sku: str
    quantity: int
    amount_cents: int


class StopShipment(Event, frozen=True, kw_only=True):
    """Fulfillment is asked to keep these units from leaving, or to call the parcel back.

    The answer is `ShipmentStopped`, which may take as long as the parcel's way back, or `ShipmentNotStopped`.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    refund_no: str
    lines: tuple[RefundLine, ...]

    @property
    def key(self) -> str:
        return self.refund_no


class ExpectReturn(Event, frozen=True, kw_only=True):
    """Fulfillment is asked to fetch these units from the buyer; the answer is `ReturnReceived`."""

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    refund_no: str
    lines: tuple[RefundLine, ...]

    @property
    def key(self) -> str:
        return self.refund_no


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
    """Some of the price went back to the buyer, or the rest of it: these units return to the shelf.

    `amount_cents` is what went back, of which `balance_cents` belong on the buyer's balance. What went back before is
    `refunded_before_cents`, so whoever takes back a share (points) knows what the order was and is worth. `is_whole`:
    no unit is kept; only then `coupons` names those that come back, too.
    """

    topic: ClassVar[str] = ORDER_EVENTS
    order_no: str
    version: int
    buyer_id: int
    refund_no: str
    total_cents: int
    refunded_before_cents: int
    amount_cents: int
    balance_cents: int = 0
    coupons: tuple[str, ...] = ()
    lines: tuple[RefundLine, ...]
    is_whole: bool

    @property
    def key(self) -> str:
        return self.refund_no


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


class CancelSilentOrder(Event, frozen=True, kw_only=True):
    """A timer rang: if somebody whom the order waits for has not answered yet, cancel it."""

    topic: ClassVar[str] = ORDER_TIMERS
    order_no: str
    version: int
    #: As of `CloseUnpaidOrder`.
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.order_no}:{self.attempt}"


class CompleteOrder(Event, frozen=True, kw_only=True):
    """A timer rang: if the receipt is due, it counts as confirmed. A timer reaches 3 days, so a week is a chain."""

    topic: ClassVar[str] = ORDER_TIMERS
    order_no: str
    version: int
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.order_no}:{self.attempt}"
