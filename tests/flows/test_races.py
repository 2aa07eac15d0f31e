"""Buyers who do two things in the same moment: one outcome, and money and stock agree with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle
from threading import Barrier

import pytest

from accounts.models import PointsEntry
from common.testing import database_threads
from config.environment import SERVICES
from inventory.models import Reservation
from inventory.tests import shelf
from orders.models import Order, OrderRefund
from orders.tests import book
from tests.flows.shop import Buyer, Shop, until

pytestmark = pytest.mark.django_db(databases=list(SERVICES), transaction=True)

ROUNDS = 200
LANES = 8
#: Closing goes through the queue to the gateway and back; the buyer pays when the order is seen in one of these.
#: How far the closing is by then, is chance; the last one is too late for sure.
MOMENTS = [{"PENDING_PAYMENT", "CLOSING", "CLOSED"}, {"CLOSING", "CLOSED"}, {"CLOSING", "CLOSED"}, {"CLOSED"}]


def at_once(one: Callable[[], object], other: Callable[[], object], pool: ThreadPoolExecutor) -> None:
    """Run both in the same moment; what the shop refuses is part of the race."""
    start = Barrier(2)

    def run(rival: Callable[[], object]) -> None:
        start.wait(20)
        rival()

    for future in [pool.submit(run, one), pool.submit(run, other)]:
        future.result(60)


class TestPayAndClose:
    @pytest.mark.timeout(180)
    @pytest.mark.slow
    def test_in_the_same_moment_two_hundred_times(self, shop: Shop):
        """Each order is closed, or paid and given back; either way the buyer gets the money and the shop the stock.

        Whoever cancels a paid order gets it back; what is closed and paid too late is refunded.
        """
        shop.put(TEAPOT=1000)
        alice = shop.buyer("alice")
        with database_threads(LANES) as lanes, database_threads(2 * LANES) as rivals:
            orders = list(lanes.map(lambda _: alice.place(TEAPOT=1), range(ROUNDS)))
            # Money that is on its way arrives at a closed trade, too.
            shop.paysim.fault("pay_after_close", count=ROUNDS)
            list(lanes.map(partial(_cancel_and_pay, shop, alice, rivals), orders, cycle(MOMENTS)))
        until(lambda: not Order.objects.exclude(status__in=["PAID", "CLOSED", "REFUNDED"]).exists())

        shop.verify()

        ends = Counter(Order.objects.values_list("status", flat=True))
        late = OrderRefund.objects.filter(order__status="CLOSED").count()
        print(f"{dict(ends)}, {late} of the closed ones paid too late and refunded")
        assert ends["PAID"] + ends["CLOSED"] + ends["REFUNDED"] == ROUNDS
        assert min(ends["PAID"], ends["CLOSED"], late) > 0, "no race was run: one side always won"
        assert shelf.counts("TEAPOT") == (1000 - ends["PAID"], 0, ends["PAID"])
        assert Reservation.objects.filter(state="CONSUMED").count() == ends["PAID"]
        assert PointsEntry.objects.filter(kind="GRANTED").count() == ends["PAID"] + ends["REFUNDED"]
        assert alice.points() == ends["PAID"] * 12
        for order in Order.objects.all():
            payment = alice.payment(order.order_no)
            kept_cents = payment["captured_cents"] - payment["refunded_cents"]
            assert kept_cents == (order.total_cents if order.status == "PAID" else 0), order
        book.check_histories()


def _cancel_and_pay(shop: Shop, alice: Buyer, rivals: ThreadPoolExecutor, order_no: str, moment: set[str]) -> None:
    shop.wait(order_no, "PENDING_PAYMENT")
    # The buyer stands at the cashier already, so that both presses leave in the same moment.
    token = shop.paysim.visit(alice.cashier_url(order_no))["token"]

    def pay() -> None:
        shop.wait(order_no, *moment)
        shop.paysim.press(token)

    at_once(lambda: alice.cancel(order_no), pay, rivals)


class TestTheLastUnit:
    def test_wanted_by_fifty_buyers_goes_to_one(self, shop: Shop):
        shop.put(SCROLL=1)
        buyers = [shop.buyer(f"buyer-{number}") for number in range(50)]

        with ThreadPoolExecutor(25) as pool:
            orders = list(pool.map(lambda buyer: buyer.place(SCROLL=1), buyers))

        ends = Counter(shop.wait(order_no, "PENDING_PAYMENT", "CANCELED") for order_no in orders)
        assert ends == {"PENDING_PAYMENT": 1, "CANCELED": 49}
        shop.verify()
        assert shelf.counts("SCROLL") == (0, 1, 0)
