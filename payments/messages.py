"""What payments tells the other services, and the two commands it sends to itself: the published contract.

Sharded by order number. `version` is the newest version of the order that payments had heard of. Money is
integer cents. A gateway that does not answer is asked again by a delayed copy of the command, so it never blocks the
queue behind it.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from messaging.events import Event

PAYMENT_EVENTS = "payment-events"

#: How the keys of payments' own refunds begin: money that came too late, or a second time. No order asked for it, and
#: it is no part of an order's price.
LATE, DUPLICATE = "late:", "duplicate:"


class PaymentOpened(Event, frozen=True, kw_only=True):
    """The order can be paid from now on: the answer to `OrderConfirmed`."""

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int


class PaymentSucceeded(Event, frozen=True, kw_only=True):
    """The price of the order is captured. Sent once per order, and never after `PaymentClosed`."""

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int
    payment_no: str
    trade_no: str
    amount_cents: int
    paid_at: datetime


class PaymentClosed(Event, frozen=True, kw_only=True):
    """The trade is closed at the gateway: money that still arrives is given back, the order never sees it."""

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int


class RefundSucceeded(Event, frozen=True, kw_only=True):
    """The gateway gave `amount_cents` back.

    `refund_no` and `refund_key` are the number of `RefundRequested`; for money no order asked for, the key says why
    (see `LATE`).
    """

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int
    refund_no: str
    refund_key: str
    amount_cents: int

    @property
    def key(self) -> str:
        return self.refund_no


class RefundFailed(Event, frozen=True, kw_only=True):
    """The refund is refused for good; a person has to look at it.

    `reason`: NOT_CAPTURED, MORE_THAN_CAPTURED, LINES_EXCEED_AMOUNT, NUMBER_USED (by another refund), MALFORMED, or the
    gateway's own word.
    """

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int
    refund_no: str
    refund_key: str
    amount_cents: int
    reason: str

    @property
    def key(self) -> str:
        return self.refund_no


class CloseTrade(Event, frozen=True, kw_only=True):
    """Payments to itself: ask the gateway once more to close the trade of this order."""

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int
    attempt: int

    @property
    def key(self) -> str:
        return f"{self.order_no}:{self.attempt}"


class ExecuteRefund(Event, frozen=True, kw_only=True):
    """Payments to itself: ask the gateway to give this refund back; the refund number is the same at every attempt."""

    topic: ClassVar[str] = PAYMENT_EVENTS
    order_no: str
    version: int
    refund_no: str
    attempt: int = 1

    @property
    def key(self) -> str:
        return f"{self.refund_no}:{self.attempt}"
