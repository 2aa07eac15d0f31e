"""The gateways are asked what no callback told; on a clock that the test moves, both ours and theirs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from messaging.transactions import QueueUnavailable
from mq.errors import RequestTimeout
from payments.gateway import channels
from payments.gateway.contract import RefundOrder
from payments.models import Alarm, Capture, Payment, Refund
from payments.services import opening, reconciling, refunding
from payments.tests import kit
from payments.tests.test_refunding import request

pytestmark = pytest.mark.django_db(databases=["payments"])

NOW = datetime.now(UTC)
BOTH = list(channels.GATEWAYS)


@pytest.fixture(autouse=True)
def _nobody_calls_back(paysim) -> Iterator[None]:
    paysim.fault("drop", count=10_000)
    yield
    paysim.http.delete("/faults")


def visit(paysim, payment, channel):
    url = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW, channel=channel)
    return paysim.visit(url)


def reconcile_every(seconds, *, until) -> None:
    """What the sweeper does, at moments of the test's clock."""
    moment = NOW
    while moment <= NOW + until:
        reconciling.ask_about_payments(now=moment)
        reconciling.ask_about_refunds(now=moment)
        moment += timedelta(seconds=seconds)


class TestMissingCallbacks:
    def test_are_all_made_good_within_two_minutes(self, paysim, queue):
        """Promise P3: every callback is lost, in both dialects."""
        payments = [kit.open_payment() for _ in range(10)]
        for number, payment in enumerate(payments):
            paysim.press(visit(paysim, payment, BOTH[number % 2])["token"])

        reconcile_every(10, until=timedelta(minutes=2))

        told = queue.shown_as("PaymentSucceeded")
        assert sorted(message.sharding_key or "" for message in told) == sorted(one.order_no for one in payments)
        assert set(Payment.objects.values_list("status", flat=True)) == {"SUCCEEDED"}
        assert not Payment.objects.filter(ask_at__isnull=False).exists()

    def test_are_not_waited_for_by_asking_all_the_time(self, paysim, queue, monkeypatch):
        payment = kit.open_payment()
        visit(paysim, payment, "alipay")
        asked: list[datetime] = []
        gateway = channels.GATEWAYS["alipay"]

        def nobody_paid(order_no: str, *, now: datetime) -> str:
            asked.append(now)
            return "OPEN"

        monkeypatch.setattr(gateway, "query", nobody_paid)

        reconcile_every(30, until=timedelta(hours=2))

        assert asked[:3] == [NOW + timedelta(seconds=seconds) for seconds in (30, 90, 150)]
        assert 30 < len(asked) < 80
        late = [after - before for before, after in itertools.pairwise(asked)]
        assert max(late) <= timedelta(minutes=4.5)

    def test_of_an_order_nobody_went_to_pay_are_nothing_to_ask_about(self, paysim, queue):
        kit.open_payment()

        assert reconciling.ask_about_payments(now=NOW + timedelta(hours=1)).asked == 0

    def test_wait_while_a_gateway_is_down_and_the_other_one_is_asked(self, paysim, queue):
        payment = kit.open_payment()
        visit(paysim, payment, "alipay")
        token = visit(paysim, payment, "wechat")["token"]
        paysim.press(token)
        paysim.fault("unavailable", out_trade_no=payment.order_no)

        found = reconciling.ask_about_payments(now=NOW + timedelta(minutes=1))

        assert (found.asked, found.settled, found.unanswered) == (1, 1, 1)
        assert Capture.objects.get(payment=payment).channel == "wechat"

    def test_record_nothing_while_the_queue_is_down_and_come_again(self, paysim, queue):
        payment = kit.open_payment()
        paysim.press(visit(paysim, payment, "alipay")["token"])
        queue.failure = RequestTimeout("no broker")

        with pytest.raises(QueueUnavailable):
            reconciling.ask_about_payments(now=NOW + timedelta(minutes=1))
        queue.failure = None

        assert not Capture.objects.exists()
        assert reconciling.ask_about_payments(now=NOW + timedelta(minutes=3)).settled == 1

    def test_of_another_amount_raise_an_alarm_and_pay_nothing(self, paysim, queue):
        payment = kit.open_payment()
        paysim.press(visit(paysim, payment, "wechat")["token"])
        Payment.objects.filter(pk=payment.pk).update(amount_cents=kit.PRICE_CENTS + 1)

        for minutes in (1, 3):
            reconciling.ask_about_payments(now=NOW + timedelta(minutes=minutes))

        assert Alarm.objects.get().kind == Alarm.Kind.PAID_AMOUNT_DIFFERS
        assert not Capture.objects.exists()


class TestTwoChannels:
    def test_of_a_paid_order_leave_no_open_trade_behind(self, paysim, queue):
        payment = kit.open_payment()
        other = visit(paysim, payment, "alipay")
        paysim.press(visit(paysim, payment, "wechat")["token"])

        reconcile_every(30, until=timedelta(minutes=2))

        assert paysim.press(other["token"]).status_code == 409
        assert Payment.objects.get(pk=payment.pk).ask_at is None

    def test_bug_22_paid_twice_by_two_channels_has_the_second_payment_refunded(self, paysim, queue):
        """Guards: `settle` in models.py, which asks about the other channel, and the CLOSED/SUCCEEDED branch of
        `capturing.record`; no callback of either payment ever arrives.
        """
        payment = kit.open_payment()
        tokens = [visit(paysim, payment, channel)["token"] for channel in BOTH]
        for token in tokens:
            paysim.press(token).raise_for_status()

        reconcile_every(30, until=timedelta(minutes=2))
        for refund in Refund.objects.all():
            refunding.settle_aside(
                refund.refund_no, refunding.ask_gateway(refund_no=refund.refund_no, now=NOW), now=NOW
            )

        assert len(queue.shown_as("PaymentSucceeded")) == len(queue.shown_as("ExecuteRefund")) == 1
        [refund] = Refund.objects.all()
        assert (refund.status, refund.amount_cents) == (Refund.Status.SUCCEEDED, kit.PRICE_CENTS)
        assert not refund.capture.is_for_order
        [event] = queue.shown_as("RefundSucceeded")
        assert b'"duplicate:' in event.body


class TestLostRefundCommands:
    @pytest.mark.parametrize("channel", BOTH)
    def test_are_made_good_by_asking_for_the_refund_again(self, paysim, queue, channel):
        payment = kit.open_payment()
        paysim.press(visit(paysim, payment, channel)["token"])
        reconciling.ask_about_payments(now=NOW + timedelta(minutes=1))
        command = request(payment, cents=1000)  # and nobody ever delivers it

        assert reconciling.ask_about_refunds(now=NOW + timedelta(minutes=4)).asked == 0
        found = reconciling.ask_about_refunds(now=NOW + refunding.LOST_AFTER)
        assert (found.asked, found.settled) == (1, 1)

        refund = Refund.objects.get(refund_no=command.refund_no)
        assert refund.status == Refund.Status.SUCCEEDED
        assert len(queue.shown_as("RefundSucceeded")) == 1
        order = RefundOrder(payment.order_no, refund.capture.trade_no, refund.refund_no, 1000, kit.PRICE_CENTS, "")
        assert channels.of(channel).find_refund(order, now=NOW) == refund.refunded_at
