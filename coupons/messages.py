"""What coupons tells the other services: answers about the coupons of orders, and coupons that buyers got."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from messaging.events import Event

COUPON_EVENTS = "coupon-events"


class CouponLocked(Event, frozen=True, kw_only=True):
    """Coupon and red packet of the order, as far as it has them, are locked for it, at the discount it says."""

    topic: ClassVar[str] = COUPON_EVENTS
    order_no: str
    version: int


class CouponRefused(Event, frozen=True, kw_only=True):
    """Nothing is locked for the order; `reason` is one of `coupons.rules.Refusal`."""

    topic: ClassVar[str] = COUPON_EVENTS
    order_no: str
    version: int
    coupon_no: str
    reason: str


class CouponIssued(Event, frozen=True, kw_only=True):
    """A buyer has a new coupon or red packet: grabbed, or given for a paid order (`granted_for`)."""

    topic: ClassVar[str] = COUPON_EVENTS
    coupon_no: str
    template_no: str
    title: str
    buyer_id: int
    expires_at: datetime
    granted_for: str | None = None

    @property
    def key(self) -> str:
        return self.coupon_no

    @property
    def sharding_key(self) -> str:
        return self.coupon_no
