"""From the payment to the parcel at the door, and back: over the real broker, with a real warehouse and carrier."""

from __future__ import annotations

from datetime import timedelta

import pytest

from config.environment import SERVICES
from fulfillment.models import Shipment
from inventory.tests import shelf
from messaging.models import InboxMessage
from orders.services import cases
from orders.tests import book
from shipsim.testing import ShipsimProcess
from tests.flows.shop import Buyer, Shop, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(databases=list(SERVICES), transaction=True)]

PACKED, CARRIED, WEEK = timedelta(minutes=31), timedelta(hours=25), timedelta(days=7, minutes=1)


def bought(shop: Shop, buyer: Buyer, **units: int) -> str:
    order_no = buyer.place(**units)
    shop.wait(order_no, "PENDING_PAYMENT")
    shop.pay(buyer.cashier_url(order_no))
    shop.wait(order_no, "PAID")
    wait_until_asked(f"PackShipment:{order_no}:1")
    return order_no


def wait_until_asked(key: str) -> None:
    """The third party has it: only then its clock runs, and the test may move it."""
    until(InboxMessage.objects.using("fulfillment").filter(key=key).exists)


class TestAParcel:
    @pytest.mark.promise  # The tour takes the same way in every run of the suite, without the faults.
    def test_is_delivered_and_received_by_itself_after_a_week(self, shop: Shop, partners: ShipsimProcess):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        partners.fault("warehouse", "lost_answer")
        order_no = bought(shop, alice, TEAPOT=1)
        partners.fault("carrier", "unavailable", count=2)

        shop.travel(PACKED)
        shop.wait(order_no, "SHIPPED")
        assert alice.cancel(order_no).status_code == 409
        shop.travel(CARRIED)
        shop.wait(order_no, "DELIVERED")
        shop.travel(WEEK)
        shop.wait(order_no, "COMPLETED")

        shop.verify()
        book.check_histories()


class TestAReturn:
    def test_of_a_part_gives_back_exactly_that_part(self, shop: Shop, partners: ShipsimProcess):
        """One of three cups before it is packed, another after it came: 2 of 3 are given back, one is kept."""
        shop.put(CUP=10)
        alice = shop.buyer("alice")
        order_no = bought(shop, alice, CUP=3)

        early = alice.ask_back(order_no, CUP=1)
        until(lambda: alice.refund(order_no, early)["status"] == "SUCCEEDED")
        until(lambda: shelf.counts("CUP") == (8, 0, 2))
        shop.travel(PACKED)
        wait_until_asked(f"DispatchShipment:{order_no}:1")
        shop.travel(CARRIED)
        shop.wait(order_no, "DELIVERED")
        assert alice.receive(order_no).status_code == 200
        late = alice.ask_back(order_no, CUP=1)
        assert alice.refund(order_no, late)["status"] == "AWAITING_APPROVAL"
        cases.approve(refund_no=late, by="wang", now=shop.now())
        wait_until_asked(f"FetchReturn:{late}:1")
        shop.travel(CARRIED)
        until(lambda: alice.refund(order_no, late)["status"] == "SUCCEEDED")

        until(lambda: shelf.counts("CUP") == (9, 0, 1))
        shop.verify()
        payment = alice.payment(order_no)
        assert (payment["captured_cents"], payment["refunded_cents"]) == (3750, 2500)
        assert alice.order(order_no)["status"] == "COMPLETED"
        assert alice.points() == 12
        book.check_histories()

    def test_of_a_paid_order_that_is_canceled_ends_it(self, shop: Shop, partners: ShipsimProcess):
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = bought(shop, alice, TEAPOT=2)

        assert alice.cancel(order_no).status_code == 202

        shop.wait(order_no, "REFUNDED")
        shop.verify()
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert Shipment.objects.get(order_no=order_no).status == "STOPPED"
        assert alice.points() == 0
