"""Coupons over HTTP: what anybody sees, and what only their owner does."""

from __future__ import annotations

import pytest
from django.test import Client

from common import tokens
from common.clock import now
from coupons.models import CouponTemplate
from coupons.tests import wallet
from coupons.tests.wallet import ALICE, BOB, DAY
from messaging.testing import RecordedQueue

pytestmark = pytest.mark.django_db(databases=["coupons"], transaction=True)


def browser(buyer_id: int) -> Client:
    return Client(headers={"Authorization": f"Bearer {tokens.issue(buyer_id)}"})


@pytest.fixture(autouse=True)
def ten_off(db: None) -> CouponTemplate:
    return wallet.template(**wallet.TEN_OFF, grab_from=now() - DAY, grab_until=now() + DAY)


def grab(buyer_id: int, key: str = "grab-key-1"):
    path = "/api/coupons/templates/TEN-OFF/grab"
    return browser(buyer_id).post(path, content_type="application/json", headers={"Idempotency-Key": key})


class TestTemplates:
    def test_are_shown_to_anybody_while_they_can_be_grabbed(self):
        [shown] = Client().get("/api/coupons/templates").json()["templates"]
        assert (shown["template_no"], shown["off_cents"], shown["left"]) == ("TEN-OFF", 1000, 1000)

        CouponTemplate.objects.update(grab_until=now())

        assert Client().get("/api/coupons/templates").json()["templates"] == []


class TestGrab:
    def test_answers_twins_with_the_same_bytes(self, queue: RecordedQueue):
        first, second = grab(ALICE), grab(ALICE)

        assert first.status_code == 201
        assert first.content == second.content

    def test_needs_a_key_and_a_buyer(self, queue: RecordedQueue):
        assert grab(ALICE, key="").status_code == 422
        assert Client().post("/api/coupons/templates/TEN-OFF/grab").status_code == 401


class TestMine:
    def test_are_only_mine(self, queue: RecordedQueue):
        mine = grab(ALICE).json()["coupon_no"]
        grab(BOB)

        [shown] = browser(ALICE).get("/api/coupons").json()["coupons"]

        assert (shown["coupon_no"], shown["status"], shown["title"]) == (mine, "ISSUED", "10 off 50")
        assert browser(ALICE).get("/api/coupons?status=REDEEMED").json()["coupons"] == []
        assert browser(ALICE).get("/api/coupons?status=STOLEN").status_code == 422
        assert Client().get("/api/coupons").status_code == 401
