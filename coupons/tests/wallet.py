"""Coupons for tests: templates, one buyer's coupons, orders that use them, and whether the history agrees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from common import ids
from coupons.models import Coupon, CouponMovement, CouponTemplate
from coupons.rules import Item
from coupons.services import locking, templates
from coupons.services.locking import Request, Use, Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ALICE, BOB = 1, 2
#: 50.00 of tea and 30.00 of cups.
BASKET = (Item("LONGJING", "tea", 5000), Item("CUP", "cups", 3000))

TEN_OFF: dict[str, Any] = {"title": "10 off 50", "kind": "THRESHOLD", "threshold_cents": 5000, "off_cents": 1000}
TEA_15_PERCENT: dict[str, Any] = {"title": "15 % off tea", "kind": "PERCENTAGE", "percent_off": 15, "category": "tea"}
RED_PACKET: dict[str, Any] = {"title": "Red packet", "kind": "RED_PACKET", "off_cents": 500}


def template(template_no: str = "TEN-OFF", *, stock: int = 1000, limit: int = 1000, **rule: Any) -> CouponTemplate:
    templates.put_template(
        template_no=template_no,
        stock=stock,
        per_buyer_limit=limit,
        valid_for=7 * DAY,
        **{"grab_from": NOON - DAY, "grab_until": NOON + DAY, **(rule or TEN_OFF)},
    )
    return CouponTemplate.objects.get(template_no=template_no)


def coupon(of: CouponTemplate | None = None, *, buyer_id: int = ALICE, expires_at: datetime = NOON + 7 * DAY) -> str:
    new = Coupon.objects.create(
        coupon_no=ids.new_number(ids.COUPON, NOON),
        template=of or template(),
        buyer_id=buyer_id,
        issued_at=NOON,
        expires_at=expires_at,
    )
    return new.coupon_no


def request(
    order_no: str,
    coupon_no: str | None = None,
    cents: int = 1000,
    *,
    red_packet: Use | None = None,
    buyer_id: int = ALICE,
    placed_at: datetime = NOON,
) -> Request:
    used = None if coupon_no is None else Use(coupon_no, cents)
    return Request(order_no, buyer_id, placed_at, BASKET, used, red_packet)


def lock(order_no: str, coupon_no: str | None = None, cents: int = 1000, **more: Any) -> Verdict:
    [verdict] = locking.lock_coupons([request(order_no, coupon_no, cents, **more)], now=NOON)
    return verdict


def state(coupon_no: str) -> tuple[str, str]:
    return Coupon.objects.values_list("status", "order_no").get(coupon_no=coupon_no)


def kinds(coupon_no: str) -> list[str]:
    return list(CouponMovement.objects.filter(coupon_id=coupon_no).order_by("id").values_list("kind", flat=True))


def check_history() -> None:
    """Every coupon is where its movements left it: locked, redeemed and given back in turns."""
    after = {"LOCKED": "LOCKED", "REDEEMED": "REDEEMED", "RELEASED": "ISSUED", "RETURNED": "ISSUED"}
    before = {"LOCKED": "ISSUED", "REDEEMED": "LOCKED", "RELEASED": "LOCKED", "RETURNED": "REDEEMED"}
    for one in Coupon.objects.all():
        status = "ISSUED"
        for kind in kinds(one.coupon_no):
            assert before[kind] == status, (one, kind)
            status = after[kind]
        assert one.status in (status, "EXPIRED" if status == "ISSUED" else status)
