"""Coupons get to buyers in two ways: grabbed, as long as there are some, or given for a paid order.

A grab locks its template's row by the guarded update that takes one, so of any number in the same moment as many
succeed as there are coupons, and each buyer's are counted while nobody else's grab of that template is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.db.models import F

from common import idempotency, ids, sql
from common.errors import NotFound, ShopError
from coupons.messages import CouponIssued
from coupons.models import Coupon, CouponTemplate, GrabAnswer
from messaging.transactions import send_in_transaction

_REWARD = sql.Statement(Path(__file__).with_name("reward.sql"))


class NotGrabbable(ShopError):
    """Its time has not come, or is over."""

    code = "COUPON_NOT_GRABBABLE"


class NoneLeft(ShopError):
    """Others have them all."""

    code = "NO_COUPONS_LEFT"


class LimitReached(ShopError):
    """The buyer has as many of these as one may have."""

    code = "COUPON_LIMIT_REACHED"


class Purchase(NamedTuple):
    """A paid order, which may earn a coupon."""

    order_no: str
    buyer_id: int
    total_cents: int


class _Twin(Exception):
    """The same key is being answered by another request; that one's answer counts."""


def grab_coupon(*, buyer_id: int, template_no: str, key: str, now: datetime) -> dict[str, Any]:
    """Give the buyer a coupon of the template, once per key, and return the answer to give.

    Raises: NotFound, NotGrabbable, NoneLeft, LimitReached; KeyReused: the key had another template; QueueUnavailable.
    """
    fingerprint = idempotency.fingerprint(template_no)
    given = GrabAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
    if given is not None:
        return given.body_for(fingerprint)
    template = CouponTemplate.objects.filter(template_no=template_no).first()
    if template is None:
        raise NotFound("There is no such coupon.")
    if template.grab_from is None or template.grab_until is None or not template.grab_from <= now < template.grab_until:
        raise NotGrabbable("This coupon cannot be grabbed now.")
    issued = _issued(template, buyer_id, now)
    answer = {
        "coupon_no": issued.coupon_no,
        "template_no": template_no,
        "title": template.title,
        "expires_at": issued.expires_at.isoformat(),
    }

    def work() -> None:
        if not GrabAnswer.remember(buyer_id=buyer_id, key=key, fingerprint=fingerprint, body=answer, now=now):
            raise _Twin
        _take(template, buyer_id)
        Coupon.objects.create(
            coupon_no=issued.coupon_no,
            template=template,
            buyer_id=buyer_id,
            issued_at=now,
            expires_at=issued.expires_at,
        )

    try:
        send_in_transaction(issued, work, using="coupons")
    except _Twin:
        return GrabAnswer.objects.get(buyer_id=buyer_id, key=key).body_for(fingerprint)
    return answer


def reward_purchases(purchases: Sequence[Purchase], *, now: datetime) -> list[CouponIssued | None]:
    """Give each paid order the best coupon it has earned, once per order, as long as there are any.

    Needs a transaction. What each order got is in the order of the orders; None: nothing, or it has it already.
    """
    earned = CouponTemplate.objects.filter(reward_from_cents__isnull=False, left__gt=0)
    # Locked in the order of their numbers, as long as this transaction runs: so `left` is what it says.
    templates = sorted(
        earned.order_by("template_no").select_for_update(), key=lambda one: one.reward_from_cents or 0, reverse=True
    )
    issued = [_earned(purchase, templates, now) for purchase in purchases]
    given = [msgspec.to_builtins(one) for one in issued if one is not None]
    created = {coupon_no for (coupon_no,) in _REWARD.run("coupons", given=sql.rows(given), now=now)} if given else set()
    return [one if one is not None and one.coupon_no in created else None for one in issued]


def _earned(purchase: Purchase, templates: Sequence[CouponTemplate], now: datetime) -> CouponIssued | None:
    for template in templates:
        if purchase.total_cents >= (template.reward_from_cents or 0) and template.left:
            template.left -= 1
            return _issued(template, purchase.buyer_id, now, granted_for=purchase.order_no)
    return None


def _issued(template: CouponTemplate, buyer_id: int, now: datetime, *, granted_for: str | None = None) -> CouponIssued:
    return CouponIssued(
        coupon_no=ids.new_number(ids.COUPON, now),
        template_no=template.template_no,
        title=template.title,
        buyer_id=buyer_id,
        expires_at=now + template.valid_for,
        granted_for=granted_for,
    )


def _take(template: CouponTemplate, buyer_id: int) -> None:
    """Raises: NoneLeft, LimitReached."""
    one = CouponTemplate.objects.filter(template_no=template.template_no, left__gt=0)
    if not one.update(left=F("left") - 1):
        raise NoneLeft("All of these coupons are gone.")
    # The update above waits for rivals and keeps them waiting: so this counts what they have taken, and misses nothing.
    if Coupon.objects.filter(template=template, buyer_id=buyer_id).count() >= template.per_buyer_limit:
        raise LimitReached(f"You may have {template.per_buyer_limit} of these.", limit=template.per_buyer_limit)
