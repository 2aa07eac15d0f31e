"""Coupons after their order: used, free again, given back, or too old."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import DatabaseError, transaction

from common.testing import race
from coupons.models import Coupon, CouponMovement
from coupons.services import settling
from coupons.tests import wallet
from coupons.tests.wallet import DAY, NOON

LATER = NOON + 30 * DAY


@pytest.mark.django_db(databases=["coupons"])
class TestSettle:
    def test_redeems_once_and_releases_no_more(self):
        coupon = wallet.coupon()
        wallet.lock("M1", coupon)

        for _ in range(2):
            settling.redeem_coupons(["M1"], now=NOON)
            settling.release_coupons(["M1"], now=NOON)

        assert wallet.state(coupon) == ("REDEEMED", "M1")
        wallet.check_history()

    def test_bug_26_a_coupon_is_returned_once_and_never_from_an_order_that_paid(self):
        """Protects `status = %(from_status)s` in settle.sql: release needs LOCKED, give back needs REDEEMED.

        Between two returns the coupon is another order's, which must not lose it.
        """
        coupon = wallet.coupon()
        wallet.lock("M1", coupon)
        settling.redeem_coupons(["M1"], now=NOON)
        settling.release_coupons(["M1"], now=NOON)
        assert wallet.state(coupon) == ("REDEEMED", "M1")

        settling.give_back_coupons(["M1"], now=NOON)
        wallet.lock("M2", coupon)
        settling.give_back_coupons(["M1"], now=NOON)
        settling.release_coupons(["M1"], now=NOON)

        assert wallet.state(coupon) == ("LOCKED", "M2")
        assert wallet.kinds(coupon) == ["LOCKED", "REDEEMED", "RETURNED", "LOCKED"]

    def test_bug_27_a_coupon_that_expired_before_the_return_gets_a_week_once(self):
        """Protects the CASE over `expires_at` and `was_extended` in settle.sql."""
        coupon = wallet.coupon(expires_at=NOON + DAY)
        wallet.lock("M1", coupon)
        settling.redeem_coupons(["M1"], now=NOON)

        settling.give_back_coupons(["M1"], now=LATER)

        assert Coupon.objects.get().expires_at == LATER + settling.RETURN_GRACE
        wallet.lock("M2", coupon, placed_at=LATER)
        settling.redeem_coupons(["M2"], now=LATER)
        settling.give_back_coupons(["M2"], now=LATER + 30 * DAY)
        assert Coupon.objects.get().expires_at == LATER + settling.RETURN_GRACE

    def test_leaves_a_coupon_its_time_when_it_comes_back_within_it(self):
        coupon = wallet.coupon(expires_at=NOON + DAY)
        wallet.lock("M1", coupon)
        settling.redeem_coupons(["M1"], now=NOON)

        settling.give_back_coupons(["M1"], now=NOON)

        assert Coupon.objects.values_list("expires_at", "was_extended").get() == (NOON + DAY, False)

    def test_gives_no_time_to_who_lets_an_order_go(self):
        coupon = wallet.coupon(expires_at=NOON + DAY)
        wallet.lock("M1", coupon)

        settling.release_coupons(["M1"], now=LATER)

        assert Coupon.objects.get().expires_at == NOON + DAY
        assert wallet.lock("M2", coupon, placed_at=LATER).reason == "EXPIRED"

    def test_refuses_to_change_what_was_remembered(self):
        wallet.lock("M1", wallet.coupon())

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(using="coupons"):
            CouponMovement.objects.update(kind="REDEEMED")


@pytest.mark.django_db(databases=["coupons"])
class TestExpire:
    def test_marks_what_is_too_old_and_free(self):
        of = wallet.template()
        old, locked, young = wallet.coupon(of, expires_at=NOON), wallet.coupon(of), wallet.coupon(of)
        wallet.lock("M1", locked)
        Coupon.objects.filter(coupon_no=locked).update(expires_at=NOON)

        assert [settling.expire_coupons(now=NOON) for _ in range(2)] == [1, 0]

        assert [wallet.state(one)[0] for one in (old, locked, young)] == ["EXPIRED", "LOCKED", "ISSUED"]


@pytest.mark.django_db(databases=["coupons"], transaction=True)
class TestRaces:
    def test_redeemed_and_released_in_the_same_moment_is_one_of_both(self):
        """Protects `FOR UPDATE` in settle.sql."""
        of = wallet.template()
        for number in range(15):
            coupon, order_no = wallet.coupon(of), f"M{number}"
            wallet.lock(order_no, coupon)
            moves = [settling.redeem_coupons, settling.release_coupons]

            assert race([partial(move, [order_no], now=NOON) for move in moves]) == [None, None]

            assert wallet.kinds(coupon) in (["LOCKED", "REDEEMED"], ["LOCKED", "RELEASED"])
        wallet.check_history()
