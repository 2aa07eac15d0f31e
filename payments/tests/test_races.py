"""Two things at once, on the real database and at the real (simulated) gateway: exactly one of them wins."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from common.testing import database_threads, seeded
from messaging.events import Outgoing
from payments.gateway import channels
from payments.messages import PaymentClosed, PaymentSucceeded
from payments.models import Capture, Payment, Refund
from payments.services import closing, opening
from payments.tests import kit

pytestmark = [pytest.mark.django_db(databases=["payments"], transaction=True), pytest.mark.timeout(120)]

#: The whole shop runs this race 200 times (tests/flows/test_races.py); these look closer, and need fewer.
ROUNDS = 60


def buyer_pays(paysim, gateway, payment, visit, start, hesitation_s) -> None:
    start.wait()
    threading.Event().wait(hesitation_s)
    if paysim.press(visit["token"]).status_code == 200:
        fields = gateway.callback(payment, trade_no=visit["trade_no"])
        assert kit.receive(fields, now=datetime.now(UTC)).is_success


def shop_closes(payment, start) -> list[Outgoing]:
    start.wait()
    now = datetime.now(UTC)
    answer = closing.ask_gateway(order_no=payment.order_no, version=3, now=now)
    return closing.settle(order_no=payment.order_no, version=3, attempt=1, answer=answer, now=now)


def race(paysim, gateway, pool, dice) -> tuple[Payment, list[Outgoing]]:
    """One order. The shop's way to the gateway is a few milliseconds longer; the buyer hesitates as long, or not."""
    payment = kit.open_payment()
    url = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=datetime.now(UTC))
    visit = paysim.visit(url)
    start = threading.Barrier(2)
    pays = pool.submit(buyer_pays, paysim, gateway, payment, visit, start, dice.uniform(0, 0.012))
    closes = pool.submit(shop_closes, payment, start)
    pays.result()
    events = closes.result()
    payment.refresh_from_db()
    return payment, events


@pytest.fixture
def pool():
    with database_threads(2) as threads:
        yield threads


class TestPayAndCloseAtOnce:
    def test_has_one_outcome_and_the_gateway_agrees(self, paysim, gateway, queue, pool):
        dice = seeded()
        outcomes = [race(paysim, gateway, pool, dice) for _ in range(ROUNDS)]

        paid_at_gateway = {
            entry.out_trade_no for entry in channels.of(channels.ALIPAY).book(now=datetime.now(UTC)) if entry.paid
        }
        told = [message.sharding_key for message in queue.shown_as("PaymentSucceeded")]
        for payment, events in outcomes:
            succeeded = told.count(payment.order_no) + sum(isinstance(event, PaymentSucceeded) for event in events)
            closed = sum(isinstance(event, PaymentClosed) for event in events)
            assert (succeeded, closed) in ((1, 0), (0, 1))
            assert (payment.status == Payment.Status.SUCCEEDED) == (succeeded == 1)
            assert (payment.order_no in paid_at_gateway) == (succeeded == 1)
        assert not Refund.objects.exists()
        assert {payment.status for payment, _ in outcomes} == {"SUCCEEDED", "CLOSED"}

    def test_gives_every_cent_back_when_money_passes_a_closed_trade(self, paysim, gateway, queue, pool):
        dice = seeded()
        paysim.fault("pay_after_close", count=ROUNDS)
        outcomes = [race(paysim, gateway, pool, dice) for _ in range(ROUNDS)]
        paysim.http.delete("/faults")

        for payment, events in outcomes:
            capture = Capture.objects.get(payment=payment)
            refunds = Refund.objects.filter(capture=capture)
            if payment.status == Payment.Status.SUCCEEDED:
                assert not refunds
            else:
                assert [type(event) for event in events] == [PaymentClosed]
                assert [refund.amount_cents for refund in refunds] == [kit.PRICE_CENTS]
        assert {payment.status for payment, _ in outcomes} == {"SUCCEEDED", "CLOSED"}
