"""What can be asked about coupons. Nothing here writes or locks; what is a buyer's is filtered by its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from coupons import rules
from coupons.models import Coupon, CouponTemplate
from coupons.rules import CouponNotUsable, Discount, Item, Refusal

#: Coupons that one answer lists, or one checkout weighs.
COUPON_COUNT_MAX = 100
TEMPLATE_COUNT_MAX = 100


@dataclass(frozen=True)
class Offer:
    """One of the buyer's coupons, and what it would take off these items; 0 with the reason why."""

    coupon: Coupon
    discount_cents: int
    reason: Refusal | None


def open_templates(*, now: datetime) -> list[CouponTemplate]:
    """What can be grabbed at this moment, as long as there are any."""
    is_open = Q(grab_from__lte=now, grab_until__gt=now, left__gt=0)
    return list(CouponTemplate.objects.filter(is_open).order_by("grab_until", "template_no")[:TEMPLATE_COUNT_MAX])


def coupons_of(*, buyer_id: int, status: str | None, now: datetime) -> list[Coupon]:
    """A buyer's coupons, those that expire first at the front; one that is too old counts as expired."""
    mine = Coupon.objects.filter(buyer_id=buyer_id).select_related("template")
    too_old = Q(status=Coupon.Status.ISSUED, expires_at__lte=now)
    if status == Coupon.Status.EXPIRED:
        mine = mine.filter(Q(status=status) | too_old)
    elif status is not None:
        mine = mine.filter(status=status).exclude(too_old)
    return list(mine.order_by("expires_at", "coupon_no")[:COUPON_COUNT_MAX])


def offers(*, buyer_id: int, items: Sequence[Item], coupon_cents: int = 0, now: datetime) -> list[Offer]:
    """What each of the buyer's unused coupons and red packets would take off, the best first."""
    usable = coupons_of(buyer_id=buyer_id, status=Coupon.Status.ISSUED, now=now)
    found = [_offer(coupon, items, coupon_cents) for coupon in usable]
    return sorted(found, key=lambda offer: -offer.discount_cents)


def _offer(coupon: Coupon, items: Sequence[Item], coupon_cents: int) -> Offer:
    if rules.is_red_packet(coupon):
        return Offer(coupon, rules.red_packet_off(coupon.template, items, coupon_cents=coupon_cents), None)
    off = rules.coupon_off(coupon.template, items)
    return Offer(coupon, 0, off) if isinstance(off, Refusal) else Offer(coupon, off, None)


def discounts(
    *, buyer_id: int, coupon_no: str | None, red_packet_no: str | None, items: Sequence[Item], now: datetime
) -> tuple[Discount | None, Discount | None]:
    """What this coupon and this red packet take off: an offer only, which the lock checks again.

    Raises: CouponNotUsable.
    """
    wanted = [one for one in (coupon_no, red_packet_no) if one is not None]
    found = Coupon.objects.select_related("template").in_bulk(wanted)
    coupon = _discount(found, coupon_no, items, buyer_id=buyer_id, coupon_cents=None, now=now)
    red_packet = _discount(
        found, red_packet_no, items, buyer_id=buyer_id, coupon_cents=coupon.cents if coupon else 0, now=now
    )
    return coupon, red_packet


def _discount(
    found: dict[str, Coupon],
    coupon_no: str | None,
    items: Sequence[Item],
    *,
    buyer_id: int,
    coupon_cents: int | None,
    now: datetime,
) -> Discount | None:
    if coupon_no is None:
        return None
    coupon = found.get(coupon_no)
    off: int | Refusal | None = rules.state_refusal(coupon, buyer_id=buyer_id, now=now)
    if off is None:
        assert coupon is not None
        off = rules.take_off(coupon, items, coupon_cents=coupon_cents)
    if isinstance(off, Refusal):
        raise CouponNotUsable(f"{coupon_no} cannot be used for this order.", coupon_no=coupon_no, reason=off.value)
    assert coupon is not None
    return Discount(coupon_no, off, frozenset(item.sku for item in rules.counted(coupon.template, items)))
