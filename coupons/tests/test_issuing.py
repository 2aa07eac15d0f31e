"""Grabbing coupons, and getting them for paid orders: never more than there are, never twice for the same thing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import transaction

from common.errors import NotFound
from common.idempotency import KeyReused
from common.testing import race
from coupons.messages import CouponIssued
from coupons.models import Coupon, CouponTemplate
from coupons.services import issuing
from coupons.services.issuing import LimitReached, NoneLeft, NotGrabbable, Purchase
from coupons.tests import wallet
from coupons.tests.wallet import ALICE, BOB, DAY, NOON
from messaging.testing import RecordedQueue
from messaging.transactions import QueueUnavailable
from mq.errors import ConnectionLost


def grab(key: str = "grab-1", *, buyer_id: int = ALICE, template_no: str = "TEN-OFF") -> str:
    answer = issuing.grab_coupon(buyer_id=buyer_id, template_no=template_no, key=key, now=NOON)
    coupon_no: str = answer["coupon_no"]
    return coupon_no


def left(template_no: str = "TEN-OFF") -> int:
    return CouponTemplate.objects.values_list("left", flat=True).get(template_no=template_no)


@pytest.mark.django_db(databases=["coupons"], transaction=True)
class TestGrab:
    def test_gives_one_and_tells_it(self, queue: RecordedQueue):
        wallet.template(stock=5)

        coupon_no = grab()

        coupon = Coupon.objects.get()
        assert (coupon.coupon_no, coupon.buyer_id, coupon.expires_at) == (coupon_no, ALICE, NOON + 7 * DAY)
        assert left() == 4
        [issued] = [CouponIssued.from_body(message.body) for message in queue.shown()]
        assert (issued.coupon_no, issued.buyer_id, issued.title) == (coupon_no, ALICE, "10 off 50")

    def test_repeats_its_answer(self, queue: RecordedQueue):
        wallet.template(stock=5)
        wallet.template("OTHER")

        assert grab() == grab() == grab()

        assert left() == 4
        with pytest.raises(KeyReused):
            grab(template_no="OTHER")

    def test_ends_with_the_last_one(self, queue: RecordedQueue):
        wallet.template(stock=1)
        grab("grab-1")

        with pytest.raises(NoneLeft):
            grab("grab-2", buyer_id=BOB)

        assert len(queue.shown()) == 1

    def test_keeps_to_the_limit_per_buyer(self, queue: RecordedQueue):
        wallet.template(limit=2)
        grab("grab-1")
        grab("grab-2")

        with pytest.raises(LimitReached):
            grab("grab-3")

        assert left() == 998
        assert grab("grab-3", buyer_id=BOB)

    @pytest.mark.parametrize(
        "window",
        [
            {"grab_from": NOON + DAY},
            {"grab_until": NOON},
            {"grab_from": None, "grab_until": None},
        ],
        ids=["too early", "too late", "never"],
    )
    def test_keeps_to_its_time(self, queue: RecordedQueue, window: dict[str, Any]):
        wallet.template(**wallet.TEN_OFF, **window)

        with pytest.raises(NotGrabbable):
            grab()

    def test_finds_nothing_else(self, queue: RecordedQueue):
        with pytest.raises(NotFound):
            grab()

    def test_does_nothing_when_the_queue_takes_no_message(self, queue: RecordedQueue):
        wallet.template(stock=5)
        queue.failure = ConnectionLost("no broker")

        with pytest.raises(QueueUnavailable):
            grab()

        assert left() == 5

    def test_by_thirty_at_once_gives_as_many_as_there_are(self, queue: RecordedQueue):
        """Protects `left__gt=0` in `_take`: a read before the update would let all of them through."""
        wallet.template(stock=10)

        results = race([partial(grab, f"grab-{buyer}", buyer_id=buyer) for buyer in range(30)])

        assert sum(isinstance(result, NoneLeft) for result in results) == 20
        assert (Coupon.objects.count(), left()) == (10, 0)

    def test_by_one_buyer_in_many_windows_keeps_to_the_limit(self, queue: RecordedQueue):
        """Protects the order in `_take`: the update first, which makes the buyer's others wait, then the count."""
        wallet.template(limit=3)

        results = race([partial(grab, f"window-{number}") for number in range(12)] + [partial(grab, "window-0")])

        assert {type(result) for result in results} == {str, LimitReached}
        assert Coupon.objects.count() == 3
        assert left() == 997


@pytest.mark.django_db(databases=["coupons"])
class TestReward:
    @pytest.fixture(autouse=True)
    def templates(self) -> None:
        for template_no, cents in (("SMALL", 1000), ("LARGE", 10_000)):
            wallet.template(template_no, stock=3, **wallet.RED_PACKET, reward_from_cents=cents)

    def reward(self, **orders: int) -> list[str | None]:
        purchases = [Purchase(order_no, ALICE, cents) for order_no, cents in orders.items()]
        with transaction.atomic(using="coupons"):
            given = issuing.reward_purchases(purchases, now=NOON)
        return [one.template_no if one else None for one in given]

    def test_is_the_best_that_the_order_has_earned(self):
        assert self.reward(M1=999, M2=1000, M3=10_000) == [None, "SMALL", "LARGE"]

        assert sorted(Coupon.objects.values_list("granted_for", "template_id")) == [("M2", "SMALL"), ("M3", "LARGE")]

    def test_bug_30_is_given_once_however_often_the_message_comes(self):
        """Protects `ON CONFLICT (template_id, granted_for)` in reward.sql."""
        assert self.reward(M1=1000) == ["SMALL"]
        for _ in range(3):
            assert self.reward(M1=1000) == [None]

        assert Coupon.objects.count() == 1
        assert left("SMALL") == 2

    def test_ends_with_the_last_one(self):
        assert self.reward(M1=20_000, M2=20_000, M3=20_000, M4=20_000) == ["LARGE", "LARGE", "LARGE", "SMALL"]

        assert (left("LARGE"), left("SMALL")) == (0, 2)
