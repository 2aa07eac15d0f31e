"""How much a coupon and a red packet take off: pure arithmetic in whole cents, the same for the offer and for the lock.

A coupon counts the articles of its category at list price. A red packet comes on top and counts everything, but an
order always costs at least one cent. Shares of a cent are the shop's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from common.errors import ShopError
from coupons.models import Coupon, CouponTemplate


class Refusal(StrEnum):
    """Why a coupon cannot be used."""

    NO_SUCH_COUPON = "NO_SUCH_COUPON"  #: or somebody else's
    WRONG_KIND = "WRONG_KIND"  #: a red packet in place of a coupon, or the other way round
    IN_USE = "IN_USE"
    USED = "USED"
    EXPIRED = "EXPIRED"
    NOTHING_OF_ITS_CATEGORY = "NOTHING_OF_ITS_CATEGORY"
    BELOW_THRESHOLD = "BELOW_THRESHOLD"
    PRICE_DIFFERS = "PRICE_DIFFERS"  #: it takes off another sum than the order says


class CouponNotUsable(ShopError):
    """`details` names the `coupon_no` and the `reason`, a `Refusal`."""

    code = "COUPON_NOT_USABLE"
    http_status = 422


class Item(NamedTuple):
    """A line of an order at list price."""

    sku: str
    category: str
    cents: int


class Discount(NamedTuple):
    """What one coupon takes off, and which lines it counts."""

    coupon_no: str
    cents: int
    skus: frozenset[str]


def state_refusal(coupon: Coupon | None, *, buyer_id: int, now: datetime) -> Refusal | None:
    """Why the coupon as it is cannot be used by this buyer; None: it can."""
    if coupon is None or coupon.buyer_id != buyer_id:
        return Refusal.NO_SUCH_COUPON
    if coupon.status == Coupon.Status.LOCKED:
        return Refusal.IN_USE
    if coupon.status == Coupon.Status.REDEEMED:
        return Refusal.USED
    if coupon.status == Coupon.Status.EXPIRED or coupon.expires_at <= now:
        return Refusal.EXPIRED
    return None


def coupon_off(template: CouponTemplate, items: Sequence[Item]) -> int | Refusal:
    """The cents that a coupon of this template takes off these items."""
    counted_cents = sum(item.cents for item in counted(template, items))
    if not counted_cents:
        return Refusal.NOTHING_OF_ITS_CATEGORY
    if counted_cents < template.threshold_cents:
        return Refusal.BELOW_THRESHOLD
    if template.kind == CouponTemplate.Kind.THRESHOLD:
        return template.off_cents
    off_cents = counted_cents * template.percent_off // 100
    return off_cents if template.off_cents_max is None else min(off_cents, template.off_cents_max)


def red_packet_off(template: CouponTemplate, items: Sequence[Item], *, coupon_cents: int) -> int:
    """The cents that a red packet takes off, after a coupon took its share."""
    return max(min(template.off_cents, sum(item.cents for item in items) - coupon_cents - 1), 0)


def take_off(coupon: Coupon, items: Sequence[Item], *, coupon_cents: int | None) -> int | Refusal:
    """What it takes off as a coupon (`coupon_cents` is None), or as a red packet beside one that takes so many."""
    if is_red_packet(coupon) != (coupon_cents is not None):
        return Refusal.WRONG_KIND
    if coupon_cents is None:
        return coupon_off(coupon.template, items)
    return red_packet_off(coupon.template, items, coupon_cents=coupon_cents)


def counted(template: CouponTemplate, items: Sequence[Item]) -> list[Item]:
    return [item for item in items if template.category in ("", item.category)]


def is_red_packet(coupon: Coupon) -> bool:
    return coupon.template.kind == CouponTemplate.Kind.RED_PACKET
