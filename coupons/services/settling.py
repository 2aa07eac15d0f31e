"""What becomes of coupons: redeemed when their order is paid, released when it ends unpaid, given back by a refund.

Each is one statement for a batch of orders (`settle.sql`), and moves only what is in the status it starts from; so each
order's coupons move once, however often and in whatever company its message comes.

A coupon that comes back unpaid is as it was: a buyer who lets an order go does not gain time. One that comes back by a
refund after its time was used in time and lost to the buyer for no fault of the buyer's own: it is good for another
`RETURN_GRACE`, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connections, transaction

from common import claims, sql
from coupons.models import Coupon, CouponClaim, CouponMovement

_SETTLE = sql.Statement(Path(__file__).with_name("settle.sql"))
RETURN_GRACE = timedelta(days=7)
#: Coupons that one statement of the sweeper expires.
_BATCH_COUNT = 5000
_Status, _Kind = Coupon.Status, CouponMovement.Kind


@dataclass(frozen=True)
class _Move:
    from_status: Coupon.Status
    to_status: Coupon.Status
    kind: CouponMovement.Kind
    extends: bool = False


_REDEEM = _Move(_Status.LOCKED, _Status.REDEEMED, _Kind.REDEEMED)
_RELEASE = _Move(_Status.LOCKED, _Status.ISSUED, _Kind.RELEASED)
_RETURN = _Move(_Status.REDEEMED, _Status.ISSUED, _Kind.RETURNED, extends=True)


def redeem_coupons(order_nos: Sequence[str], *, now: datetime) -> None:
    """These orders are paid: what was locked for them is used."""
    _settle(order_nos, _REDEEM, now=now)


def release_coupons(order_nos: Sequence[str], *, now: datetime) -> None:
    """Unlock the coupons of these orders; for one whose placing has not come yet, leave a tombstone."""
    with transaction.atomic(using="coupons", savepoint=False):
        # Claimed first, in a statement of its own: whoever locks at this moment either finds the tombstone or has
        # committed, and is then seen by the release.
        claims.claim(CouponClaim, order_nos, origin=CouponClaim.Origin.TOMBSTONE, now=now)
        _settle(order_nos, _RELEASE, now=now)


def give_back_coupons(order_nos: Sequence[str], *, now: datetime) -> None:
    """These orders were refunded as a whole: their buyers have their coupons again."""
    _settle(order_nos, _RETURN, now=now)


def expire_coupons(*, now: datetime) -> int:
    """Mark coupons whose time is over; how many there were. Nobody waits for it: the time itself decides."""
    total_count, count = 0, _BATCH_COUNT
    while count == _BATCH_COUNT:
        with connections["coupons"].cursor() as cursor:
            cursor.execute(
                """
                WITH due AS (
                    SELECT coupon_no FROM coupons_coupon WHERE status = 'ISSUED' AND expires_at <= %s
                    ORDER BY coupon_no LIMIT %s FOR UPDATE SKIP LOCKED
                )
                UPDATE coupons_coupon AS coupon SET status = 'EXPIRED' FROM due WHERE coupon.coupon_no = due.coupon_no
                """,
                [now, _BATCH_COUNT],
            )
            count = cursor.rowcount
        total_count += count
    return total_count


def _settle(order_nos: Sequence[str], move: _Move, *, now: datetime) -> None:
    _SETTLE.run(
        "coupons",
        order_nos=list(order_nos),
        from_status=move.from_status.value,
        to_status=move.to_status.value,
        kind=move.kind.value,
        extend_to=now + RETURN_GRACE if move.extends else None,
        now=now,
    )
