"""Bugs that shops have had with money, each made impossible: the number is the bug's, the docstring names its guard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext

from common.testing import race, seeded
from messaging import transactions
from messaging.events import Delayed
from messaging.registry import registry
from mq.errors import RequestTimeout
from orders.messages import RefundLine, RefundRequested
from payments.consumers import request_refund
from payments.gateway import channels
from payments.gateway.contract import Trade
from payments.messages import ExecuteRefund, PaymentClosed, PaymentSucceeded, RefundFailed
from payments.models import Alarm, CallbackLog, Capture, NoticeSeen, Payment, Refund
from payments.services import capturing, closing, opening, refunding, tidying
from payments.tests import kit
from payments.tests.test_refunding import request

pytestmark = pytest.mark.django_db(databases=["payments"])
real_commits = pytest.mark.django_db(databases=["payments"], transaction=True)

NOW = datetime.now(UTC)
BOTH = list(channels.GATEWAYS)


def visit(paysim, payment, channel):
    url = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW, channel=channel)
    return paysim.visit(url)


def ask_to_close(payment):
    return closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)


def settle(payment, answer):
    return closing.settle(order_no=payment.order_no, version=3, attempt=1, answer=answer, now=NOW)


def status(payment) -> str:
    return Payment.objects.get(pk=payment.pk).status


@pytest.mark.parametrize("channel", BOTH)
class TestPaidAndClosed:
    def test_bug_13_a_payment_during_the_close_before_it_is_settled_wins(self, pens, queue, channel):
        """Guard: the status check in `closing._close`."""
        payment = kit.open_payment()
        answer = ask_to_close(payment)

        assert pens.told(channel, payment)() == "ACCEPTED"

        assert settle(payment, answer) == []
        assert status(payment) == "SUCCEEDED"

    def test_bug_13_a_payment_during_the_close_after_it_is_settled_is_refunded(self, pens, queue, channel):
        """Guard: `payment.is_open` in `capturing.foresee`, under the row lock of `capturing.record`."""
        payment = kit.open_payment()

        [closed] = settle(payment, ask_to_close(payment))
        assert pens.told(channel, payment)() == "LATE_PAYMENT"

        assert isinstance(closed, PaymentClosed)
        assert status(payment) == "CLOSED"
        assert not queue.shown_as("PaymentSucceeded")
        assert Refund.objects.get().amount_cents == kit.PRICE_CENTS

    def test_bug_14_a_payment_after_the_close_is_not_swallowed_but_refunded_once(self, paysim, queue, channel):
        """Guard: the CLOSED branch of `capturing.record`, and one number per cause (`refunding.refund_number`)."""
        payment = kit.open_payment()
        token = visit(paysim, payment, channel)["token"]
        settle(payment, ask_to_close(payment))
        paysim.fault("pay_after_close", out_trade_no=payment.order_no)
        paysim.press(token).raise_for_status()
        trade = channels.of(channel).query(payment.order_no, now=NOW)
        assert isinstance(trade, Trade)

        for _ in range(3):
            capturing.capture(Payment.objects.get(pk=payment.pk), trade, now=NOW)
        for _ in range(3):
            [command] = queue.shown_as("ExecuteRefund")
            number = Refund.objects.get().refund_no
            assert number.encode() in command.body
            refunding.settle_aside(number, refunding.ask_gateway(refund_no=number, now=NOW), now=NOW)

        [entry] = [one for one in channels.of(channel).book(now=NOW) if one.out_trade_no == payment.order_no]
        assert (entry.refunded_cents, entry.refund_count) == (kit.PRICE_CENTS, 1)
        assert len(queue.shown_as("RefundSucceeded")) == 1

    def test_bug_15_a_payment_after_the_close_never_revives_the_order(self, pens, queue, channel):
        """Guard: `Payment.TRANSITIONS`, which leads nowhere from CLOSED."""
        payment = kit.open_payment()
        settle(payment, ask_to_close(payment))

        pens.told(channel, payment)()

        assert status(payment) == "CLOSED"
        assert not queue.shown_as("PaymentSucceeded")
        assert not Capture.objects.get().is_for_order

    def test_bug_24_a_close_that_the_gateway_answers_with_paid_ends_in_paid(self, paysim, queue, channel):
        """Guard: `close` of the gateway's client, which asks how the trade stands before it believes in a refusal."""
        payment = kit.open_payment()
        visit(paysim, payment, channel)
        paysim.fault("answer_paid_to_close", out_trade_no=payment.order_no)

        [event] = settle(payment, ask_to_close(payment))

        assert isinstance(event, PaymentSucceeded)
        assert status(payment) == "SUCCEEDED"

    @pytest.mark.parametrize("fault", ["unavailable", "server_error", "system_error"])
    def test_bug_24_a_close_that_fails_is_asked_again_and_no_order_closes_meanwhile(
        self, paysim, queue, channel, fault
    ):
        """Guard: `is_known` in `closing.close_trades`."""
        payment = kit.open_payment()
        token = visit(paysim, payment, channel)["token"]
        paysim.fault(fault, out_trade_no=payment.order_no)

        answer = ask_to_close(payment)
        assert answer == "UNKNOWN"
        settle(payment, answer)
        paysim.press(token).raise_for_status()
        [event] = settle(payment, ask_to_close(payment))

        assert isinstance(event, PaymentSucceeded)


@pytest.mark.parametrize("channel", BOTH)
class TestCallbacks:
    @pytest.mark.parametrize("cents", [1, kit.PRICE_CENTS - 1, kit.PRICE_CENTS + 1])
    def test_bug_16_another_amount_is_refused_and_raises_an_alarm(self, pens, queue, channel, cents):
        """Guard: the comparison of amounts in `callbacks._payment_of`. More of bug 16: test_callbacks.py and
        test_forged_wechat.py, a hundred forgeries in all.
        """
        payment = kit.open_payment()

        assert pens.told(channel, payment, cents=cents)() == "WRONG_AMOUNT"

        assert status(payment) == "PENDING"
        assert Alarm.objects.get().kind == Alarm.Kind.PAID_AMOUNT_DIFFERS
        assert CallbackLog.objects.get().verdict == "WRONG_AMOUNT"
        assert not queue.halves

    def test_bug_17_a_replay_has_no_effect_even_when_its_id_is_forgotten(self, pens, queue, channel):
        """Guards: `NoticeSeen` for a week, the unique trade number of a capture for ever."""
        payment = kit.open_payment()
        deliver = pens.told(channel, payment)
        deliver()

        assert deliver(NOW + timedelta(days=2)) == "REPLAYED"
        later = NOW + timedelta(days=30)
        tidying.forget_old_callbacks(now=later)
        assert not NoticeSeen.objects.exists()
        assert deliver(later) == "REPLAYED"

        assert len(queue.halves) == Capture.objects.count() == 1

    def test_bug_17_an_id_is_remembered_for_two_days_at_least(self, pens, queue, channel):
        """Guard: `tidying.NOTICE_LIFETIME`."""
        pens.told(channel, kit.open_payment())()

        tidying.forget_old_callbacks(now=NOW + timedelta(hours=48))

        assert NoticeSeen.objects.count() == 1

    def test_bug_18_a_crash_before_the_commit_is_no_success_and_the_next_call_heals_it(
        self, pens, queue, channel, monkeypatch
    ):
        """Guard: the answer is made of what `callbacks.receive` returns after the commit, and of nothing before."""
        payment = kit.open_payment()
        deliver = pens.told(channel, payment)

        def crash(**_: object) -> None:
            raise RuntimeError("the process dies here")

        with monkeypatch.context() as patched:
            patched.setattr(NoticeSeen.objects, "create", crash)
            with pytest.raises(RuntimeError, match="dies here"):
                deliver()
        assert not Capture.objects.exists()
        assert not queue.shown()

        assert deliver() == "ACCEPTED"
        assert len(queue.shown_as("PaymentSucceeded")) == 1

    def test_bug_18_a_crash_after_the_commit_is_healed_by_the_check_back_and_the_next_call(
        self, pens, queue, channel, monkeypatch
    ):
        """Guard: the outcome row that commits with the capture (messaging.transactions)."""
        payment = kit.open_payment()
        deliver = pens.told(channel, payment)

        def lost(*_: object) -> None:
            raise RequestTimeout("the word to the broker is lost")

        with monkeypatch.context() as patched:
            patched.setattr(queue, "end", lost)
            assert deliver() == "ACCEPTED"

        assert deliver() == "REPLAYED"
        [(half, _)] = queue.halves
        key = half.properties[transactions.KEY_PROPERTY]
        assert transactions._outcome("payments", key) == "COMMITTED"

    def test_bug_22_a_second_trade_of_a_paid_order_is_refunded(self, pens, queue, channel):
        """Guard: the SUCCEEDED branch of `capturing.record`."""
        payment = kit.open_payment()
        other = BOTH[1 - BOTH.index(channel)]
        pens.told(other, payment)()

        assert pens.told(channel, payment, trade_no="2026-2")() == "SECOND_PAYMENT"

        refund = Refund.objects.get()
        assert (refund.capture.channel, refund.amount_cents) == (channel, kit.PRICE_CENTS)
        assert len(queue.shown_as("PaymentSucceeded")) == len(queue.shown_as("ExecuteRefund")) == 1

    @real_commits
    def test_costs_one_transaction_and_ten_statements(self, pens, queue, channel):
        payment = kit.open_payment()
        deliver = pens.told(channel, payment)

        with CaptureQueriesContext(connections["payments"]) as seen:
            assert deliver() == "ACCEPTED"
        with CaptureQueriesContext(connections["payments"]) as seen_again:
            assert deliver() == "REPLAYED"

        texts = [query["sql"] for query in seen.captured_queries]
        assert sum(text.startswith("BEGIN") for text in texts) == 1, texts
        assert not any("SAVEPOINT" in text for text in texts), texts
        assert len(texts) <= 12, texts
        assert [query["sql"].split()[0] for query in seen_again.captured_queries] == ["SELECT", "INSERT"]


@pytest.fixture(params=BOTH)
def paid(request, paysim, queue) -> Payment:
    """A payment that the gateway has and we have recorded, of either channel."""
    payment = kit.open_payment()
    paysim.press(visit(paysim, payment, request.param)["token"]).raise_for_status()
    trade = channels.of(request.param).query(payment.order_no, now=NOW)
    assert isinstance(trade, Trade)
    capturing.capture(payment, trade, now=NOW)
    return payment


def execute(command: ExecuteRefund):
    return refunding.settle(command, refunding.ask_gateway(refund_no=command.refund_no, now=NOW), now=NOW)


def given_back(payment) -> tuple[int, int]:
    book = channels.of(payment.captures.get().channel).book(now=NOW)
    [entry] = [one for one in book if one.out_trade_no == payment.order_no]
    return entry.refunded_cents, entry.refund_count


class TestRefunds:
    @pytest.mark.parametrize("fault", ["lost_answer", "system_error"])
    def test_bug_19_a_retry_after_a_lost_answer_is_the_same_refund_to_the_gateway(self, paysim, paid, fault):
        """Guard: `refund_no` comes from our row at every attempt (`refunding.ask_gateway`)."""
        command = request(paid, cents=1000)
        paysim.fault(fault, out_trade_no=paid.order_no, argument=1)

        [later] = execute(command)
        [event] = execute(later.event)

        assert event.tag == "RefundSucceeded"
        assert given_back(paid) == (1000, 1)

    @real_commits
    def test_bug_20_parallel_partial_refunds_never_pass_the_total(self, paid):
        """Guard: the compare-and-set of `refund_reserved_cents` in `refunding._reserve` (and the check constraint)."""
        most = kit.PRICE_CENTS * 6 // 10

        events = race([partial(request, paid, key=key, cents=most) for key in ("one", "two", "three")])

        assert sorted(type(event).__name__ for event in events) == ["ExecuteRefund", "RefundFailed", "RefundFailed"]
        assert {event.reason for event in events if isinstance(event, RefundFailed)} == {"MORE_THAN_CAPTURED"}

    @pytest.mark.parametrize("channel", BOTH)
    def test_bug_21_a_refund_before_the_callback_of_its_payment_ends_refunded(self, paysim, pens, queue, channel):
        """Guard: `before=_money_not_heard_of` in consumers.py, without which the refund fails and the money stays."""
        payment = kit.open_payment()
        token = visit(paysim, payment, channel)["token"]
        paysim.fault("drop", out_trade_no=payment.order_no, count=9)
        trade_no = paysim.press(token).raise_for_status().json()["trade_no"]
        wanted = RefundRequested(
            order_no=payment.order_no,
            version=4,
            refund_no=f"R-{payment.order_no}",
            amount_cents=kit.PRICE_CENTS,
            reason="BUYER_CANCELED",
        )

        [consumer] = [one for one in registry.of_service("payments") if one.handler is request_refund]

        with transaction.atomic(using="payments"):
            [[succeeded, command]] = consumer.handle([wanted], [consumer.prepare(wanted)])
        assert isinstance(command, ExecuteRefund)
        execute(command)
        verdict = pens.told(channel, payment, trade_no=trade_no)()

        assert isinstance(succeeded, PaymentSucceeded)
        assert verdict == "REPLAYED"
        assert given_back(payment) == (kit.PRICE_CENTS, 1)
        assert not queue.halves

    def test_bug_23_refunds_by_line_add_up_to_what_was_paid_to_the_cent(self, paid):
        """Guard: integer cents everywhere, and `_reason_against`, which refuses lines that exceed their amount."""
        dice = seeded()
        cuts = sorted(dice.sample(range(1, kit.PRICE_CENTS), 6))
        parts = [end - begin for begin, end in zip([0, *cuts], [*cuts, kit.PRICE_CENTS], strict=True)]

        for number, cents in enumerate(parts):
            command = request(paid, key=str(number), cents=cents, lines=(RefundLine("TEAPOT", 1, cents),))
            assert isinstance(command, ExecuteRefund)
            execute(command)

        assert given_back(paid) == (kit.PRICE_CENTS, len(parts))
        assert paid.captures.get().refund_reserved_cents == kit.PRICE_CENTS
        assert isinstance(request(paid, key="more", cents=1), RefundFailed)


@real_commits
class TestAGatewayThatIsDownForHours:
    def test_raises_an_alarm_and_then_leaves_the_command_as_a_dead_letter(self, paysim, paid):
        """Guards: `_ALARM_ATTEMPT` and `ATTEMPTS_MAX` in refunding.py; messaging parks what keeps failing."""
        first = request(paid, cents=1000)
        paysim.fault("unavailable", out_trade_no=paid.order_no, count=4)
        for attempt in (1, 11, 12):
            [later] = execute(msgspec.structs.replace(first, attempt=attempt))
            assert isinstance(later, Delayed)
            assert Alarm.objects.exists() == (attempt == 12)
        command = msgspec.structs.replace(first, attempt=refunding.ATTEMPTS_MAX)

        with pytest.raises(refunding.GatewaySilent):
            execute(command)

        waits = [refunding.retry_at(attempt, NOW) - NOW for attempt in range(1, refunding.ATTEMPTS_MAX)]
        assert sum(waits, timedelta()) > timedelta(hours=4)
        assert Alarm.objects.get().kind == Alarm.Kind.REFUND_WITHOUT_ANSWER
        [event] = execute(command)  # a person lets the dead letter be tried again
        assert event.tag == "RefundSucceeded"
        assert Alarm.objects.get().resolved_at == NOW
        assert given_back(paid) == (1000, 1)
