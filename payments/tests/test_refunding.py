from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connections, transaction

from messaging.events import Delayed
from orders.messages import RefundLine, RefundRequested
from payments.gateway import channels
from payments.gateway.contract import Trade
from payments.messages import ExecuteRefund, RefundFailed, RefundSucceeded
from payments.models import Capture, Refund
from payments.services import capturing, opening, refunding
from payments.tests import kit

NOW = datetime.now(UTC)


@pytest.fixture
def paid(paysim):
    """A payment of 49.90 that the gateway has and we have recorded."""
    payment = kit.open_payment()
    visit = paysim.visit(opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW))
    paysim.press(visit["token"])
    capturing.record(order_no=payment.order_no, trade=Trade(visit["trade_no"], kit.PRICE_CENTS, NOW), now=NOW)
    return payment


def request(payment, *, key="goodwill", cents=kit.PRICE_CENTS, lines=(), number=None):
    wanted = RefundRequested(
        order_no=payment.order_no,
        version=5,
        refund_no=number or f"R-{key}-{payment.order_no}",
        amount_cents=cents,
        lines=lines,
        reason="BROKEN",
    )
    with transaction.atomic(using="payments"):
        return refunding.request_refund(wanted, now=NOW)


def execute(command):
    answer = refunding.ask_gateway(refund_no=command.refund_no, now=NOW)
    return refunding.settle(command, answer, now=NOW)


def at_the_gateway(payment):
    (entry,) = [one for one in channels.of(channels.ALIPAY).book(now=NOW) if one.out_trade_no == payment.order_no]
    return entry.refunded_cents, entry.refund_count


@pytest.mark.django_db(databases=["payments"])
class TestRefund:
    def test_moves_the_money_and_says_so(self, paid):
        command = request(paid)

        (event,) = execute(command)

        assert event == RefundSucceeded(
            order_no=paid.order_no,
            version=5,
            refund_no=command.refund_no,
            refund_key=command.refund_no,
            amount_cents=kit.PRICE_CENTS,
        )
        assert at_the_gateway(paid) == (kit.PRICE_CENTS, 1)
        assert Refund.objects.get(refund_no=command.refund_no).status == Refund.Status.SUCCEEDED

    def test_happens_once_however_often_it_is_asked_for(self, paid):
        commands = {request(paid) for _ in range(3)}
        (command,) = commands

        assert len(execute(command)) == 1
        assert execute(command) == []
        assert at_the_gateway(paid) == (kit.PRICE_CENTS, 1)

    def test_uses_the_same_number_after_a_lost_answer(self, paysim, paid):
        command = request(paid)
        paysim.fault("lost_answer", out_trade_no=paid.order_no)

        (later,) = execute(command)
        assert isinstance(later, Delayed)
        assert later.event == ExecuteRefund(order_no=paid.order_no, version=5, refund_no=command.refund_no, attempt=2)
        (event,) = execute(later.event)

        assert isinstance(event, RefundSucceeded)
        assert at_the_gateway(paid) == (kit.PRICE_CENTS, 1)

    @pytest.mark.parametrize(("attempt", "wait_s"), [(1, 1), (4, 8), (39, 600)])
    def test_waits_longer_and_longer_for_a_gateway_that_is_down(self, paysim, paid, attempt, wait_s):
        command = request(paid)
        paysim.fault("unavailable", out_trade_no=paid.order_no)

        (later,) = execute(
            ExecuteRefund(order_no=paid.order_no, version=5, refund_no=command.refund_no, attempt=attempt)
        )

        assert later.deliver_at == NOW + timedelta(seconds=wait_s)
        assert at_the_gateway(paid) == (0, 0)

    def test_never_gives_back_more_than_was_captured(self, paid):
        first = request(paid, number="one", cents=3000)
        second = request(paid, number="two", cents=3000)

        assert isinstance(first, ExecuteRefund)
        assert isinstance(second, RefundFailed)
        assert second.reason == "MORE_THAN_CAPTURED"
        assert isinstance(request(paid, number="three", cents=1990), ExecuteRefund)

    def test_keeps_the_lines_that_it_is_for(self, paid):
        command = request(paid, cents=2000, lines=(RefundLine("TEAPOT", 1, 1500),))

        assert isinstance(command, ExecuteRefund)
        refund = Refund.objects.get(refund_no=command.refund_no)
        assert refund.lines == [{"sku": "TEAPOT", "quantity": 1, "amount_cents": 1500}]

    def test_is_refused_when_its_lines_are_more_than_its_amount(self, paid):
        event = request(paid, cents=1000, lines=(RefundLine("TEAPOT", 1, 600), RefundLine("CUP", 1, 401)))

        assert isinstance(event, RefundFailed)
        assert event.reason == "LINES_EXCEED_AMOUNT"

    def test_is_refused_under_the_number_of_another_refund(self, paid):
        number = request(paid, key="one", cents=1000).refund_no

        event = request(paid, number=number, cents=2000)

        assert isinstance(event, RefundFailed)
        assert event.reason == "NUMBER_USED"
        assert Refund.objects.get().amount_cents == 1000

    @pytest.mark.parametrize(("cents", "number"), [(0, "R1"), (-1, "R1"), (1, ""), (1, "R" * 33), (1, "R 1")])
    def test_is_refused_when_no_gateway_would_take_it(self, paid, cents, number):
        event = request(paid, cents=cents, number=number or "\n")

        assert isinstance(event, RefundFailed)
        assert event.reason == "MALFORMED"

    def test_is_refused_when_nothing_was_paid(self):
        event = request(kit.open_payment())

        assert isinstance(event, RefundFailed)
        assert event.reason == "NOT_CAPTURED"

    def test_fails_for_good_when_the_gateway_says_no(self, paid):
        Capture.objects.filter(payment=paid).update(amount_cents=9999)
        command = request(paid, cents=9999)

        (event,) = execute(command)

        assert isinstance(event, RefundFailed)
        assert event.reason == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
        refund = Refund.objects.get(refund_no=command.refund_no)
        assert (refund.status, refund.capture.refund_reserved_cents) == (Refund.Status.FAILED, 0)

    def test_cannot_pass_the_capture_in_the_database_either(self, paid):
        with pytest.raises(IntegrityError), transaction.atomic(using="payments"):
            Capture.objects.filter(payment=paid).update(refund_reserved_cents=kit.PRICE_CENTS + 1)


@pytest.mark.django_db(databases=["payments"], transaction=True)
class TestParallelRefunds:
    def test_pass_the_total_together_never(self, paid):
        def ask(key):
            try:
                return request(paid, number=key, cents=3000)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            events = list(pool.map(ask, [f"key-{number}" for number in range(8)]))

        assert sorted(type(event).__name__ for event in events) == ["ExecuteRefund"] + ["RefundFailed"] * 7

    def test_of_one_number_move_money_once(self, paid):
        command = request(paid)

        def run(_):
            try:
                return execute(command)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            events = [event for answer in pool.map(run, range(16)) for event in answer]

        assert [type(event) for event in events] == [RefundSucceeded]
        assert at_the_gateway(paid) == (kit.PRICE_CENTS, 1)
