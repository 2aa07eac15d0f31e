"""Locking coupons for orders: coupon and red packet, or neither; each for one order at a time.

A batch is four short statements, as inventory's reserving is: claim the orders, lock the coupons in the order of their
numbers, decide here, and lock everything in one go (`lock.sql`). What an order says its coupons take off is computed
again from its lines: the discount is never taken on trust.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from common import claims, sql
from coupons import rules
from coupons.models import Coupon, CouponClaim
from coupons.rules import Item, Refusal

_LOCK = sql.Statement(Path(__file__).with_name("lock.sql"))


class Use(NamedTuple):
    """A coupon, and what the order says that it takes off."""

    coupon_no: str
    cents: int


@dataclass(frozen=True)
class Request:
    """What one order wants to use."""

    order_no: str
    buyer_id: int
    placed_at: datetime
    items: Sequence[Item]
    coupon: Use | None
    red_packet: Use | None

    def uses(self) -> Iterator[tuple[Use, int | None]]:
        """What it uses, and beside what a red packet comes (None: it is the coupon)."""
        if self.coupon is not None:
            yield self.coupon, None
        if self.red_packet is not None:
            yield self.red_packet, self.coupon.cents if self.coupon else 0


class Verdict(NamedTuple):
    """What became of a request: locked, refused because of one of its coupons, or canceled before it came."""

    is_locked: bool
    coupon_no: str = ""
    reason: str = ""


LOCKED = Verdict(is_locked=True)
CANCELED_BEFORE = Verdict(is_locked=False)


def lock_coupons(requests: Sequence[Request], *, now: datetime) -> list[Verdict]:
    """Decide every request, in their order; a request that was decided before gets the same verdict again."""
    with transaction.atomic(using="coupons", savepoint=False):
        fresh = claims.claim(
            CouponClaim, [one.order_no for one in requests], origin=CouponClaim.Origin.PLACING, now=now
        )
        verdicts = _earlier_verdicts([one.order_no for one in requests if one.order_no not in fresh])
        undecided = list({one.order_no: one for one in requests if one.order_no in fresh}.values())
        decided = _decide(undecided, _lock_rows(undecided))
        _lock([one for one in undecided if decided[one.order_no].is_locked], now=now)
        refused = {no: [one.coupon_no, one.reason] for no, one in decided.items() if not one.is_locked}
        claims.remember_refusals(CouponClaim, refused)
    verdicts |= decided
    return [verdicts[one.order_no] for one in requests]


def _lock_rows(requests: Iterable[Request]) -> dict[str, Coupon]:
    numbers = {use.coupon_no for request in requests for use, _ in request.uses()}
    rows = Coupon.objects.select_for_update(of=("self",)).select_related("template")
    return {one.coupon_no: one for one in rows.filter(coupon_no__in=numbers).order_by("coupon_no")}


def _decide(requests: Iterable[Request], coupons: dict[str, Coupon]) -> dict[str, Verdict]:
    """First come, first served: what an order gets is locked for those behind it."""
    verdicts = {}
    for request in requests:
        verdict = next(_refusals(request, coupons), LOCKED)
        if verdict.is_locked:
            for use, _ in request.uses():
                coupons[use.coupon_no].status = Coupon.Status.LOCKED
        verdicts[request.order_no] = verdict
    return verdicts


def _refusals(request: Request, coupons: dict[str, Coupon]) -> Iterator[Verdict]:
    for use, coupon_cents in request.uses():
        coupon = coupons.get(use.coupon_no)
        # By the moment of placing: a message that takes its time costs nobody a coupon.
        reason = rules.state_refusal(coupon, buyer_id=request.buyer_id, now=request.placed_at)
        if reason is None:
            assert coupon is not None
            off = rules.take_off(coupon, request.items, coupon_cents=coupon_cents)
            reason = off if isinstance(off, Refusal) else Refusal.PRICE_DIFFERS if off != use.cents else None
        if reason is not None:
            yield Verdict(is_locked=False, coupon_no=use.coupon_no, reason=reason.value)


def _lock(requests: Sequence[Request], *, now: datetime) -> None:
    given = [
        {"coupon_no": use.coupon_no, "order_no": request.order_no} for request in requests for use, _ in request.uses()
    ]
    if given:
        locked = _LOCK.run("coupons", given=sql.rows(given), now=now)
        if len(locked) != len(given):
            raise AssertionError(f"{len(locked)} of {len(given)} were locked: a coupon changed although it was locked")


def _earlier_verdicts(order_nos: Sequence[str]) -> dict[str, Verdict]:
    if not order_nos:
        return {}
    return {one.order_no: _verdict(one) for one in CouponClaim.objects.filter(order_no__in=order_nos)}


def _verdict(claim: CouponClaim) -> Verdict:
    if claim.origin == CouponClaim.Origin.TOMBSTONE:
        return CANCELED_BEFORE
    if claim.refusal is None:
        return LOCKED
    coupon_no, reason = claim.refusal
    return Verdict(is_locked=False, coupon_no=coupon_no, reason=reason)
