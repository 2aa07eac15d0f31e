"""What follows a payment: points, stock, parcel, SMS and push, none of which waits for another."""

from __future__ import annotations

import pytest

from config.environment import SERVICES
from fulfillment.models import Shipment
from messaging.models import ParkedMessage
from notifications import channels
from tests.flows.shop import Shop, until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(databases=list(SERVICES), transaction=True)]


def lines_of(channel: str, order_no: str) -> int:
    path = channels.outbox(channel)
    return path.read_text().count(f'"OrderPaid:{order_no}"') if path.exists() else 0


class TestAfterAPayment:
    def test_bug_46_an_sms_that_fails_for_a_while_is_sent_once_and_holds_up_nothing(self, shop: Shop):
        """Protects the groups of notifications, each of its own: in one group, push would be parked behind SMS."""
        channels.outbox("sms").parent.mkdir()
        channels.fault_file("sms").write_text('{"is_failing": true}')
        shop.put(TEAPOT=5)
        alice = shop.buyer("alice")
        order_no = alice.place(TEAPOT=1)
        shop.wait(order_no, "PENDING_PAYMENT")
        shop.paysim.fault("duplicate", out_trade_no=order_no, argument=2)

        shop.pay(alice.cashier_url(order_no))

        until(lambda: alice.points() == 12)
        until(lambda: Shipment.objects.filter(order_no=order_no).exists())
        until(lambda: lines_of("push", order_no) == 1)
        parked = ParkedMessage.objects.using("notifications")
        until(lambda: parked.filter(group="notifications-sms", attempts__gte=2).exists())
        assert lines_of("sms", order_no) == 0
        channels.fault_file("sms").unlink()
        until(lambda: not parked.exists())

        shop.verify()
        assert (lines_of("sms", order_no), lines_of("push", order_no)) == (1, 1)
