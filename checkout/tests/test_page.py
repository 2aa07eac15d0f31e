"""The confirm page: all parts of the price, all that could be chosen, and why some of it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from checkout.tests.desk import Buyer
from coupons.models import Coupon
from messaging.testing import RecordedQueue
from orders.models import CatalogItem
from orders.tests import book

DATABASES = ["accounts", "coupons", "orders"]
pytestmark = pytest.mark.django_db(databases=DATABASES)

BASKET: dict[str, Any] = {"lines": [{"sku": "TEAPOT", "quantity": 2}, {"sku": "CUP", "quantity": 6}]}


@pytest.fixture
def alice(db: None) -> Buyer:
    book.on_sale(TEAPOT=1250, CUP=300)
    CatalogItem.objects.filter(sku="TEAPOT").update(category="pots", weight_grams=700)
    return Buyer("alice")


def page_of(buyer: Buyer, **choices: Any) -> dict[str, Any]:
    status, page = buyer.post("/api/checkout", {**BASKET, **choices}, key=None)
    assert status == 200, page
    return page


class TestConfirmPage:
    def test_shows_the_price_with_all_its_parts(self, alice: Buyer):
        coupon_no = alice.coupon("TEN-OFF", kind="THRESHOLD", threshold_cents=4000, off_cents=1000)
        alice.credit(1500)

        page = page_of(alice, coupon_no=coupon_no, balance_cents=1500)

        sums = ("goods_cents", "discount_cents", "freight_cents", "total_cents", "balance_cents", "payable_cents")
        assert [page[name] for name in sums] == [4300, 1000, 700, 4000, 1500, 2500]
        assert sum(line["price_cents"] for line in page["lines"]) == 3300
        assert page["address"]["city"] == "Shanghai"
        assert page["balance"] == {"available_cents": 1500, "usable_cents": 1500}

    def test_shows_usable_coupons_first_and_says_why_others_are_not(self, alice: Buyer):
        alice.coupon("MUCH", kind="THRESHOLD", threshold_cents=4301, off_cents=1000)
        alice.coupon("CUPS", kind="PERCENTAGE", percent_off=50, category="cups")
        alice.coupon("POTS", kind="PERCENTAGE", percent_off=10, category="pots")
        alice.coupon("PACKET", kind="RED_PACKET", off_cents=300)

        page = page_of(alice)

        assert [(one["title"], one["discount_cents"], one["reason"]) for one in page["coupons"]] == [
            ("POTS", 250, None),
            ("MUCH", 0, "BELOW_THRESHOLD"),
            ("CUPS", 0, "NOTHING_OF_ITS_CATEGORY"),
        ]
        assert [(one["title"], one["discount_cents"]) for one in page["red_packets"]] == [("PACKET", 300)]

    def test_shows_no_freight_before_there_is_an_address(self, alice: Buyer):
        page = page_of(Buyer("bob", has_address=False))

        assert (page["address"], page["freight_cents"], page["total_cents"]) == (None, None, 4300)

    def test_uses_no_more_balance_than_the_order_costs(self, alice: Buyer):
        alice.credit(1_000_000)

        page = page_of(alice, balance_cents=1_000_000)

        assert (page["balance_cents"], page["payable_cents"]) == (5000, 0)
        assert page["balance"]["usable_cents"] == 5000

    @pytest.mark.django_db(databases=DATABASES, transaction=True)
    def test_leads_to_exactly_the_order_it_shows(self, alice: Buyer, queue: RecordedQueue):
        choices = {"coupon_no": alice.coupon("TEN-OFF", kind="THRESHOLD", threshold_cents=4000, off_cents=1000)}
        page = page_of(alice, **choices)

        _, placed = alice.post("/api/orders", {**BASKET, **choices, "price_version": page["price_version"]})

        order = alice.get(placed["status_url"])[1]
        for name in ("total_cents", "discount_cents", "freight_cents", "payable_cents"):
            assert order[name] == page[name]

    def test_that_is_old_is_answered_with_what_changed(self, alice: Buyer, queue: RecordedQueue):
        page = page_of(alice)
        CatalogItem.objects.filter(sku="CUP").update(price_cents=280)

        status, refusal = alice.post("/api/orders", {**BASKET, "price_version": page["price_version"]})

        assert (status, refusal["code"]) == (409, "PRICE_CHANGED")
        assert refusal["details"]["changes"] == [{"what": "unit_price_cents", "sku": "CUP", "was": 300, "is": 280}]

    def test_needs_few_queries_however_many_coupons_there_are(self, alice: Buyer, django_assert_num_queries):
        coupon_no = alice.coupon("TEN-OFF", kind="THRESHOLD", threshold_cents=4000, off_cents=1000)
        for _ in range(20):
            alice.coupon("PACKET", kind="RED_PACKET", off_cents=300)

        with (
            django_assert_num_queries(1, using="orders"),
            django_assert_num_queries(2, using="accounts"),
            django_assert_num_queries(2, using="coupons"),
        ):
            page_of(alice, coupon_no=coupon_no)

    @pytest.mark.parametrize("choice", ["coupon_no", "red_packet_no"])
    def test_refuses_a_choice_that_cannot_be_had(self, alice: Buyer, choice: str):
        coupon_no = alice.coupon("TEN-OFF", kind="THRESHOLD", threshold_cents=4000, off_cents=1000)
        Coupon.objects.update(status="REDEEMED", order_no="M1")

        status, refusal = alice.post("/api/checkout", {**BASKET, choice: coupon_no}, key=None)

        assert (status, refusal["code"], refusal["details"]["reason"]) == (422, "COUPON_NOT_USABLE", "USED")
