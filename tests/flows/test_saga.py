"""An order's whole way, over the real broker: each way it can end, and that everything else agrees with that end."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from accounts.models import PointsEntry
from config.environment import SERVICES
from inventory.models import Reservation
from inventory.tests import shelf
from orders.models import OrderRefund
from orders.tests import book
from payments.models import Capture
from tests.flows.shop import Buyer, Shop, until

pytestmark = pytest.mark.django_db(databases=list(SERVICES), transaction=True)

DAY = timedelta(hours=24)


class TestPlacing:
    def test_holds_the_stock_and_opens_the_payment(self, shop: Shop):
        shop.put(TEAPOT=5, CUP=20)
        alice = shop.buyer("alice")

        order_no = alice.place(TEAPOT=1, CUP=6)

        shop.wait(order_no, "PENDING_PAYMENT")
        assert shelf.counts("TEAPOT") == (4, 1, 0)
        assert shelf.counts("CUP") == (14, 6, 0)
        assert alice.cashier_url(order_no).startswith(shop.paysim.url)
        shop.verify()

    def test_of_more_than_there_is_ends_with_the_reason(self, shop: Shop):
        shop.put(TEAPOT=5, CUP=2)
        alice = shop.buyer("alice")

        order_no = alice.place(TEAPOT=1, CUP=6)

        shop.wait(order_no, "CANCELED")
        order = alice.order(order_no)
        assert order["reason"] == "OUT_OF_STOCK"
        assert order["reason_details"]["shortages"] == [{"sku": "CUP", "wanted": 6, "available": 2}]
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        shop.verify()


class TestPaying:
    def test_is_possible_as_soon_as_the_buyer_is_asked_to(self, shop: Shop):
        """Protects `shown_status`: the buyer looks all the time, and pays at once."""
        shop.put(TEAPOT=10)
        alice = shop.buyer("alice")

        for _ in range(8):
            order_no = alice.place(TEAPOT=1)
            until(partial(_is_to_be_paid, alice, order_no))

            assert alice.cashier_url(order_no).startswith(shop.paysim.url)

    def test_sells_the_stock_and_grants_points_once(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")
        shop.paysim.fault("duplicate", out_trade_no=order_no, argument=2)

        shop.pay(alice.cashier_url(order_no))

        shop.wait(order_no, "PAID")
        until(lambda: alice.points() == 25)
        until(lambda: shelf.counts("TEAPOT") == (3, 0, 2))
        shop.verify()
        assert PointsEntry.objects.count() == 1
        assert alice.points() == 25


def _is_to_be_paid(buyer: Buyer, order_no: str) -> bool:
    return bool(buyer.order(order_no)["status"] == "PENDING_PAYMENT")


class TestPayingTwice:
    def test_gives_the_second_payment_back_and_leaves_the_order_paid(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")
        shop.paysim.fault("second_trade", out_trade_no=order_no)

        shop.pay(alice.cashier_url(order_no))

        until(lambda: OrderRefund.objects.filter(order_id=order_no).exists())
        shop.wait(order_no, "PAID")
        shop.verify()
        payment = alice.payment(order_no)
        assert (payment["captured_cents"], payment["refunded_cents"]) == (5000, 2500)
        assert alice.order(order_no)["status"] == "PAID"
        assert shelf.counts("TEAPOT") == (3, 0, 2)
        assert alice.points() == 25


class TestNotPaying:
    def test_for_a_day_closes_the_order_and_gives_the_stock_back(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")

        shop.travel(DAY - timedelta(minutes=1))
        bystander = alice.place(TEAPOT=1)
        shop.wait(bystander, "PENDING_PAYMENT")
        assert alice.order(order_no)["status"] == "PENDING_PAYMENT"
        shop.travel(timedelta(minutes=2))

        shop.wait(order_no, "CLOSED")
        assert alice.order(order_no)["reason"] == "PAYMENT_TIMEOUT"
        until(lambda: shelf.counts("TEAPOT") == (4, 1, 0))
        assert alice.order(bystander)["status"] == "PENDING_PAYMENT"
        shop.verify()
        book.check_histories()

    def test_but_canceling_does_the_same_at_once(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")

        assert alice.cancel(order_no).status_code == 202

        shop.wait(order_no, "CLOSED")
        assert alice.order(order_no)["reason"] == "BUYER_CANCELED"
        until(lambda: shelf.counts("TEAPOT") == (5, 0, 0))
        shop.verify()

    def test_a_pre_order_may_be_canceled_before_anybody_answered(self, shop: Shop):
        """The cancellation races the reservation: whoever is first, nothing stays held."""
        shop.put(TEAPOT=50)
        alice = shop.buyer("alice")

        orders = [alice.place(TEAPOT=1) for _ in range(20)]
        for order_no in orders:
            assert alice.cancel(order_no).status_code == 202

        for order_no in orders:
            shop.wait(order_no, "CANCELED", "CLOSED")
        shop.verify()
        assert shelf.counts("TEAPOT") == (50, 0, 0)
        assert not Reservation.objects.filter(state="HELD").exists()


class TestPayingTooLate:
    def test_is_given_back_once_and_the_order_stays_closed(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")
        old_page = alice.cashier_url(order_no)
        alice.cancel(order_no)
        shop.wait(order_no, "CLOSED")

        shop.paysim.fault("pay_after_close", out_trade_no=order_no)
        shop.pay(old_page)

        until(lambda: OrderRefund.objects.filter(order_id=order_no).exists())
        shop.verify()
        payment = alice.payment(order_no)
        assert payment["captured_cents"] == payment["refunded_cents"] == 2500
        assert alice.order(order_no)["status"] == "CLOSED"
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert alice.points() == 0


class TestPayingByWechat:
    def test_leads_to_the_same_end(self, shop: Shop):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=2)
        shop.wait(order_no, "PENDING_PAYMENT")
        choice = {"channel": "wechat"}

        shop.pay(alice.http.post(f"/payments/{order_no}", json=choice).raise_for_status().json()["cashier_url"])

        shop.wait(order_no, "PAID")
        until(lambda: shelf.counts("TEAPOT") == (3, 0, 2))
        shop.verify()
        assert Capture.objects.get().channel == "wechat"
