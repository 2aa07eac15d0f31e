"""Orders with a coupon, a red packet and balance, over the real broker: three services answer, one order decides."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from common.clock import now
from config.environment import SERVICES
from coupons.models import CouponClaim
from inventory.tests import shelf
from orders.messages import Address
from orders.models import CatalogItem
from orders.services import placing
from orders.services.placing import Terms, Wish
from orders.services.pricing import Cut, Wanted
from orders.tests import book
from tests.flows.shop import Buyer, Shop, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(databases=list(SERVICES), transaction=True)]

DAY = timedelta(hours=24)


@pytest.fixture
def alice(shop: Shop) -> Buyer:
    """With 10.00 of balance, in a shop with teapots for 12.50 that weigh 700 g, a coupon and a red packet."""
    shop.put(TEAPOT=5)
    CatalogItem.objects.update(weight_grams=700)
    shop.offer("FIVE-OFF", kind="THRESHOLD", threshold_cents=2000, off_cents=500)
    shop.offer("PACKET", kind="RED_PACKET", off_cents=200)
    alice = shop.buyer("alice")
    alice.credit(1000)
    return alice


@pytest.fixture
def choices(alice: Buyer) -> dict[str, Any]:
    return {"coupon_no": alice.grab("FIVE-OFF"), "red_packet_no": alice.grab("PACKET"), "balance_cents": 1000}


def statuses(buyer: Buyer, choices: dict[str, Any]) -> list[str]:
    return [buyer.coupon(choices[name])["status"] for name in ("coupon_no", "red_packet_no")]


class TestPaying:
    def test_takes_what_the_balance_leaves_and_uses_everything_once(
        self, shop: Shop, alice: Buyer, choices: dict[str, Any]
    ):
        order_no = alice.place_with(choices, TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")
        assert statuses(alice, choices) == ["LOCKED", "LOCKED"]
        assert alice.balance() == (0, 1000)

        shop.pay(alice.cashier_url(order_no))

        shop.wait(order_no, "PAID")
        until(lambda: statuses(alice, choices) == ["REDEEMED", "REDEEMED"] and alice.balance() == (0, 0))
        shop.verify()
        # 25.00 less 7.00, and 7.00 for 1.4 kg to Shanghai.
        assert (alice.order(order_no)["total_cents"], alice.payment(order_no)["captured_cents"]) == (2500, 1500)
        assert alice.points() == 25
        book.check_histories()

    def test_needs_no_payment_when_the_balance_pays_all(self, shop: Shop, alice: Buyer):
        alice.credit(10_000)

        order_no = alice.place_with({"balance_cents": 3200}, TEAPOT=2)

        shop.wait(order_no, "PAID", "SHIPPED", "DELIVERED")
        until(lambda: alice.balance() == (7800, 0) and alice.points() == 32)
        shop.verify()
        book.check_histories()


def cancel(shop: Shop, alice: Buyer, order_no: str) -> str:
    shop.wait(order_no, "PENDING_PAYMENT")
    alice.cancel(order_no)
    return "CLOSED"


def cancel_at_once(shop: Shop, alice: Buyer, order_no: str) -> str:
    alice.cancel(order_no)
    return "CANCELED"


def let_a_day_pass(shop: Shop, alice: Buyer, order_no: str) -> str:
    shop.wait(order_no, "PENDING_PAYMENT")
    shop.travel(DAY + timedelta(minutes=1))
    return "CLOSED"


class TestNotPaying:
    @pytest.mark.parametrize("end", [cancel, cancel_at_once, let_a_day_pass])
    def test_gives_everything_back(
        self, shop: Shop, alice: Buyer, choices: dict[str, Any], end: Callable[[Shop, Buyer, str], str]
    ):
        order_no = alice.place_with(choices, TEAPOT=2)

        expected = end(shop, alice, order_no)

        shop.wait(order_no, expected, "CLOSED")
        until(lambda: statuses(alice, choices) == ["ISSUED", "ISSUED"] and alice.balance() == (1000, 0))
        until(lambda: shelf.counts("TEAPOT") == (5, 0, 0))
        shop.verify()
        book.check_histories()


class TestRefusals:
    def test_of_stock_give_back_coupon_and_balance(self, shop: Shop, alice: Buyer, choices: dict[str, Any]):
        order_no = alice.place_with(choices, TEAPOT=6)

        shop.wait(order_no, "CANCELED")
        assert alice.order(order_no)["reason"] == "OUT_OF_STOCK"
        shop.verify()
        assert statuses(alice, choices) == ["ISSUED", "ISSUED"]
        assert alice.balance() == (1000, 0)

    def test_of_a_coupon_that_takes_off_less_give_back_stock_and_balance(self, shop: Shop, alice: Buyer):
        coupon_no = alice.grab("FIVE-OFF")
        # As if the offer had been wrong, or the coupon another one by now: the lock computes it again.
        terms = Terms(Address("A", "1", "CN-SH", "Shanghai", "1"), Cut(coupon_no, 501, frozenset({"TEAPOT"})))
        wish = Wish([Wanted("TEAPOT", 2)], coupon_no=coupon_no, balance_cents=1000)

        placed = placing.place_order(
            buyer_id=alice.buyer_id, wish=wish, terms=lambda items: terms, key="wrong-offer", now=now()
        )

        order_no = placed["order_no"]
        shop.wait(order_no, "CANCELED")
        order = alice.order(order_no)
        assert (order["reason"], order["reason_details"]["why"]) == ("COUPON_REFUSED", "PRICE_DIFFERS")
        shop.verify()
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert alice.balance() == (1000, 0)
        assert alice.coupon(coupon_no)["status"] == "ISSUED"

    def test_leave_services_alone_that_the_order_does_not_need(self, shop: Shop, alice: Buyer):
        order_no = alice.place(TEAPOT=1)

        shop.wait(order_no, "PENDING_PAYMENT")
        assert not CouponClaim.objects.exists()
