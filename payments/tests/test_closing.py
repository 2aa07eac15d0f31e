from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from messaging.events import Delayed
from payments.gateway.contract import Trade
from payments.messages import CloseTrade, PaymentClosed, PaymentSucceeded
from payments.models import Capture, Payment
from payments.services import capturing, closing, opening
from payments.tests import kit

pytestmark = pytest.mark.django_db(databases=["payments"])

NOW = datetime.now(UTC)


def ask_and_settle(payment, *, attempt=1):
    answer = closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)
    return closing.settle(order_no=payment.order_no, version=3, attempt=attempt, answer=answer, now=NOW)


def visit_cashier(paysim, payment):
    url = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW)
    return paysim.visit(url)


class TestClosing:
    def test_closes_an_order_whose_cashier_was_never_opened(self):
        payment = kit.open_payment()

        events = ask_and_settle(payment)

        assert events == [PaymentClosed(order_no=payment.order_no, version=3)]
        payment.refresh_from_db()
        assert (payment.status, payment.settled_at) == (Payment.Status.CLOSED, NOW)

    def test_closes_the_trade_at_the_gateway(self, paysim):
        payment = kit.open_payment()
        visit = visit_cashier(paysim, payment)

        ask_and_settle(payment)

        assert paysim.press(visit["token"]).status_code == 409

    def test_finds_out_that_the_buyer_has_paid(self, paysim):
        payment = kit.open_payment()
        visit = visit_cashier(paysim, payment)
        paysim.press(visit["token"])

        (event,) = ask_and_settle(payment)

        assert isinstance(event, PaymentSucceeded)
        assert (event.trade_no, event.amount_cents) == (visit["trade_no"], kit.PRICE_CENTS)
        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
        assert Capture.objects.get(payment=payment).is_for_order

    def test_takes_the_money_of_a_buyer_who_pays_in_that_very_moment(self, paysim):
        payment = kit.open_payment()
        visit_cashier(paysim, payment)
        paysim.fault("answer_paid_to_close", out_trade_no=payment.order_no)

        (event,) = ask_and_settle(payment)

        assert isinstance(event, PaymentSucceeded)

    def test_says_nothing_twice(self, paysim):
        payment = kit.open_payment()
        paysim.press(visit_cashier(paysim, payment)["token"])

        assert len(ask_and_settle(payment)) == 1
        assert ask_and_settle(payment) == []
        assert Capture.objects.filter(payment=payment).count() == 1

    def test_hands_out_no_cashier_links_meanwhile(self):
        payment = kit.open_payment()
        closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)

        with pytest.raises(opening.PaymentNotOpen, match="any more"):
            opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW)

    def test_carries_the_version_of_the_order_that_asked(self, paysim):
        payment = kit.open_payment()
        paysim.press(visit_cashier(paysim, payment)["token"])

        (event,) = ask_and_settle(payment)

        assert event.version == 3


class TestClosingWithoutAnAnswer:
    @pytest.mark.parametrize(("attempt", "wait_s"), [(1, 1), (2, 2), (5, 16), (11, 600), (10_000, 600)])
    def test_asks_again_later_and_later(self, paysim, attempt, wait_s):
        payment = kit.open_payment()
        visit_cashier(paysim, payment)
        paysim.fault("unavailable", out_trade_no=payment.order_no)

        (outgoing,) = ask_and_settle(payment, attempt=attempt)

        assert isinstance(outgoing, Delayed)
        assert outgoing.event == CloseTrade(order_no=payment.order_no, version=3, attempt=attempt + 1)
        assert outgoing.deliver_at == NOW + timedelta(seconds=wait_s)
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.CLOSING

    def test_closes_at_the_next_attempt_when_the_answer_was_lost(self, paysim):
        payment = kit.open_payment()
        visit_cashier(paysim, payment)
        paysim.fault("lost_answer", out_trade_no=payment.order_no)
        ask_and_settle(payment)

        assert ask_and_settle(payment, attempt=2) == [PaymentClosed(order_no=payment.order_no, version=3)]

    def test_asks_again_when_nobody_listens_or_a_stranger_answers(self, settings, paysim, tmp_path):
        payment = kit.open_payment()
        visit_cashier(paysim, payment)
        settings.PAYSIM_URL = "http://127.0.0.1:9"
        nobody = closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)
        settings.PAYSIM_URL = paysim.url
        stranger_keys = tmp_path / "keys"
        stranger_keys.mkdir()
        (stranger_keys / "paysim.pem").write_bytes((paysim.keys / f"{settings.PAYMENT_APP_ID}.pem").read_bytes())
        settings.PAYMENT_KEYS = stranger_keys
        stranger = closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)

        assert (nobody, stranger) == ("UNKNOWN", "UNKNOWN")

    def test_refuses_to_go_on_when_the_gateway_took_another_amount(self):
        payment = kit.open_payment()
        closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)
        trade = Trade("2026", kit.PRICE_CENTS - 1, NOW)

        with pytest.raises(closing.PaidAmountDiffers, match="4989 instead of 4990"):
            closing.settle(order_no=payment.order_no, version=3, attempt=1, answer=(trade,), now=NOW)


class TestACallbackBetweenTheAnswerOfTheGatewayAndOurs:
    def test_pays_the_order_and_nothing_is_closed(self):
        """Protects the status check in `_close`: a success that a callback told meanwhile still counts."""
        payment = kit.open_payment()
        answer = closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)
        assert answer == "CLOSED"
        told = capturing.record(order_no=payment.order_no, trade=Trade("2026", kit.PRICE_CENTS, NOW), now=NOW)

        said = closing.settle(order_no=payment.order_no, version=3, attempt=1, answer=answer, now=NOW)

        assert isinstance(told, PaymentSucceeded)
        assert said == []
        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
