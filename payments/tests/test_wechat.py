"""WeChat Pay's dialect against the real simulator: each speaks it from its own reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from payments.gateway import channels
from payments.gateway.contract import GatewayRefused, GatewayUnavailable, Invoice, RefundOrder, Trade
from payments.models import Payment
from payments.services import opening
from payments.tests import kit

NOW = datetime.now(UTC)
gateway = channels.of(channels.WECHAT)


@pytest.fixture
def order_no() -> str:
    return f"RETRO-CLOCK-{next(kit.numbers)}"


def visit(paysim, order_no, *, cents=kit.PRICE_CENTS):
    invoice = Invoice(
        order_no=order_no,
        amount_cents=cents,
        subject="Retro clock",
        notify_url="http://127.0.0.1:9/callback",
        return_url="http://127.0.0.1/orders/1",
        expires_at=NOW + timedelta(hours=24),
    )
    return paysim.visit(gateway.cashier_url(invoice, now=NOW))


def pay(paysim, order_no) -> Trade:
    paysim.press(visit(paysim, order_no)["token"]).raise_for_status()
    trade = gateway.query(order_no, now=NOW)
    assert isinstance(trade, Trade)
    return trade


def refund_of(trade, order_no, *, cents=kit.PRICE_CENTS, number="R1") -> RefundOrder:
    return RefundOrder(order_no, trade.trade_no, f"{number}-{order_no}", cents, trade.amount_cents, "BROKEN")


class TestCashier:
    def test_is_one_trade_however_often_the_link_is_asked_for(self, paysim, order_no):
        assert visit(paysim, order_no)["trade_no"] == visit(paysim, order_no)["trade_no"]

    def test_is_refused_for_an_order_that_is_paid_or_closed(self, paysim, order_no):
        pay(paysim, order_no)
        with pytest.raises(GatewayRefused, match="ORDERPAID"):
            visit(paysim, order_no)

        visit(paysim, f"{order_no}-2")
        gateway.close(f"{order_no}-2", now=NOW)
        with pytest.raises(GatewayRefused, match="ORDER_CLOSED"):
            visit(paysim, f"{order_no}-2")


class TestQuery:
    def test_tells_how_a_trade_stands(self, paysim, order_no):
        assert gateway.query(order_no, now=NOW) == "OPEN"
        token = visit(paysim, order_no)["token"]
        assert gateway.query(order_no, now=NOW) == "OPEN"
        paysim.press(token)

        trade = gateway.query(order_no, now=NOW)

        assert isinstance(trade, Trade)
        assert (trade.amount_cents, trade.channel) == (kit.PRICE_CENTS, "wechat")
        assert abs(trade.paid_at - NOW) < timedelta(minutes=5)

    def test_believes_no_answer_that_is_older_than_five_minutes(self, order_no):
        with pytest.raises(GatewayUnavailable, match="not signed by the gateway just now"):
            gateway.query(order_no, now=NOW + timedelta(minutes=10))


class TestClose:
    def test_ends_in_closed_or_in_paid(self, paysim, order_no):
        assert gateway.close(order_no, now=NOW) is None
        visit(paysim, order_no)
        assert gateway.close(order_no, now=NOW) is None
        assert gateway.query(order_no, now=NOW) == "CLOSED"

        paid = f"{order_no}-2"
        trade = pay(paysim, paid)
        assert gateway.close(paid, now=NOW) == trade

    def test_hears_that_the_buyer_paid_in_that_very_moment(self, paysim, order_no):
        visit(paysim, order_no)
        paysim.fault("answer_paid_to_close", out_trade_no=order_no)

        assert isinstance(gateway.close(order_no, now=NOW), Trade)


class TestRefund:
    def test_moves_money_once_per_number(self, paysim, order_no):
        order = refund_of(pay(paysim, order_no), order_no, cents=1000)
        assert gateway.find_refund(order, now=NOW) is None

        at = gateway.refund(order, now=NOW)

        assert gateway.refund(order, now=NOW) == gateway.find_refund(order, now=NOW) == at
        [entry] = [one for one in gateway.book(now=NOW) if one.out_trade_no == order_no]
        assert (entry.refunded_cents, entry.refund_count) == (1000, 1)

    def test_is_refused_beyond_what_was_paid_and_under_a_used_number(self, paysim, order_no):
        trade = pay(paysim, order_no)
        gateway.refund(refund_of(trade, order_no, cents=3000), now=NOW)

        with pytest.raises(GatewayRefused, match="NOT_ENOUGH"):
            gateway.refund(refund_of(trade, order_no, cents=3000, number="R2"), now=NOW)
        with pytest.raises(GatewayRefused, match="INVALID_REQUEST"):
            gateway.refund(refund_of(trade, order_no, cents=2000), now=NOW)

    @pytest.mark.parametrize("fault", ["unavailable", "server_error", "system_error", "lost_answer", "processing"])
    def test_is_unknown_on_a_bad_day_and_done_once_when_asked_again(self, paysim, order_no, fault):
        order = refund_of(pay(paysim, order_no), order_no)
        paysim.fault(fault, out_trade_no=order_no)

        with pytest.raises(GatewayUnavailable):
            gateway.refund(order, now=NOW)
        gateway.refund(order, now=NOW)

        [entry] = [one for one in gateway.book(now=NOW) if one.out_trade_no == order_no]
        assert (entry.refunded_cents, entry.refund_count) == (kit.PRICE_CENTS, 1)


@pytest.mark.django_db(databases=["payments"], transaction=True)
class TestTheWholeWay:
    def test_from_the_link_over_the_cashier_to_the_callback(self, web_url, settings, paysim, queue):
        settings.WEB_URL = web_url
        payment = kit.open_payment()
        link = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW, channel="wechat")

        paysim.press(paysim.visit(link)["token"])
        assert queue.has_ended.wait(10)

        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
        assert payment.captures.get().channel == "wechat"
        assert len(queue.shown_as("PaymentSucceeded")) == 1
