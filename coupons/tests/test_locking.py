"""Locking coupons: for one order at a time, at the discount that the rule gives, by their owner, in time."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from common.testing import race, seeded
from coupons.models import Coupon
from coupons.rules import Refusal
from coupons.services import locking, settling
from coupons.services.locking import CANCELED_BEFORE, LOCKED, Use
from coupons.tests import wallet
from coupons.tests.wallet import BOB, DAY, NOON


@pytest.mark.django_db(databases=["coupons"])
class TestLock:
    def test_takes_coupon_and_red_packet_together(self):
        coupon = wallet.coupon()
        packet = wallet.coupon(wallet.template("PACKET", **wallet.RED_PACKET))

        assert wallet.lock("M1", coupon, red_packet=Use(packet, 500)) == LOCKED

        assert wallet.state(coupon) == wallet.state(packet) == ("LOCKED", "M1")
        wallet.check_history()

    def test_takes_neither_when_one_cannot_be_used(self):
        coupon = wallet.coupon()
        packet = wallet.coupon(wallet.template("PACKET", **wallet.RED_PACKET), expires_at=NOON)

        verdict = wallet.lock("M1", coupon, red_packet=Use(packet, 500))

        assert (verdict.is_locked, verdict.coupon_no, verdict.reason) == (False, packet, Refusal.EXPIRED)
        assert wallet.state(coupon) == ("ISSUED", "")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"buyer_id": BOB}, Refusal.NO_SUCH_COUPON),
            ({"expires_at": NOON}, Refusal.EXPIRED),
            ({"status": "EXPIRED"}, Refusal.EXPIRED),
            ({"status": "REDEEMED", "order_no": "M0"}, Refusal.USED),
            ({"status": "LOCKED", "order_no": "M0"}, Refusal.IN_USE),
        ],
        ids=["another's", "too old", "marked as too old", "used", "in use"],
    )
    def test_refuses_a_coupon_that_is(self, change: dict[str, Any], reason: Refusal):
        coupon = wallet.coupon()
        Coupon.objects.update(**change)

        assert wallet.lock("M1", coupon).reason == reason

    def test_refuses_another_discount_than_the_rule_gives(self):
        """Protects `off != use.cents` in locking.py: what an order says is never taken on trust."""
        coupon = wallet.coupon()

        assert wallet.lock("M1", coupon, 1001).reason == Refusal.PRICE_DIFFERS

    def test_refuses_a_red_packet_in_place_of_a_coupon(self):
        packet = wallet.coupon(wallet.template("PACKET", **wallet.RED_PACKET))

        assert wallet.lock("M1", packet, 500).reason == Refusal.WRONG_KIND

    def test_takes_a_coupon_that_expired_after_the_order_was_placed(self):
        coupon = wallet.coupon(expires_at=NOON)

        assert wallet.lock("M1", coupon, placed_at=NOON - DAY) == LOCKED

    def test_gives_the_same_verdict_when_asked_again(self):
        coupon = wallet.coupon()
        assert [wallet.lock("M1", coupon) for _ in range(2)] == [LOCKED] * 2
        refused = wallet.lock("M2", coupon)
        settling.release_coupons(["M1"], now=NOON)

        assert wallet.lock("M2", coupon) == refused
        assert refused.reason == Refusal.IN_USE
        assert wallet.kinds(coupon) == ["LOCKED", "RELEASED"]

    def test_does_nothing_for_an_order_that_ended_first(self):
        """Protects the tombstone: `claims.claim` in release_coupons."""
        coupon = wallet.coupon()
        settling.release_coupons(["M1"], now=NOON)

        assert wallet.lock("M1", coupon) == CANCELED_BEFORE

        assert wallet.state(coupon) == ("ISSUED", "")

    def test_needs_the_same_few_statements_for_one_order_and_for_sixty_four(self, django_assert_num_queries):
        of = wallet.template()
        requests = [wallet.request(f"M{number}", wallet.coupon(of)) for number in range(64)]

        with django_assert_num_queries(3, using="coupons"):
            verdicts = locking.lock_coupons(requests, now=NOON)

        assert verdicts == [LOCKED] * 64

    def test_gives_a_coupon_that_two_of_a_batch_want_to_the_first(self):
        coupon = wallet.coupon()

        verdicts = locking.lock_coupons([wallet.request("M1", coupon), wallet.request("M2", coupon)], now=NOON)

        assert [verdict.is_locked for verdict in verdicts] == [True, False]


@pytest.mark.django_db(databases=["coupons"], transaction=True)
class TestRaces:
    def test_bug_25_a_coupon_is_never_used_by_two_orders_at_once(self):
        """Protects `select_for_update` in locking.py, behind which `status = 'ISSUED'` in lock.sql refuses a slip.

        Thirty orders in one burst.
        """
        coupon = wallet.coupon()

        verdicts = race([partial(wallet.lock, f"M{number}", coupon) for number in range(30)])

        assert not [one for one in verdicts if isinstance(one, Exception)]
        assert sum(verdict.is_locked for verdict in verdicts) == 1
        assert wallet.kinds(coupon) == ["LOCKED"]

    def test_locked_and_released_in_the_same_moment_stays_free(self):
        """Protects `claims.claim` in release_coupons, and that it is a statement of its own."""
        of = wallet.template()
        for number in range(15):
            coupon, order_no = wallet.coupon(of), f"M{number}"
            results = race(
                [
                    partial(wallet.lock, order_no, coupon),
                    partial(settling.release_coupons, [order_no], now=NOON),
                ]
            )
            assert not any(isinstance(result, Exception) for result in results), results
            assert wallet.state(coupon) == ("ISSUED", "")
        wallet.check_history()

    def test_batches_that_share_coupons_never_deadlock(self):
        """Protects `order_by("coupon_no")` in locking.py."""
        chance, of = seeded(), wallet.template()
        coupons = [wallet.coupon(of) for _ in range(40)]
        batches = [
            [wallet.request(f"M{lane}-{number}", coupon) for number, coupon in enumerate(chance.sample(coupons, 30))]
            for lane in range(6)
        ]

        results = race([partial(locking.lock_coupons, batch, now=NOON) for batch in batches])

        assert not [one for one in results if isinstance(one, Exception)], results
        wallet.check_history()
