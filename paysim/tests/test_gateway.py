from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from paysim.tests.merchant import Merchant

NOWHERE = "http://127.0.0.1:9/callback"


class TestClose:
    def test_knows_no_trade_before_the_buyer_came(self, merchant, order_no):
        answer = merchant.call("alipay.trade.close", out_trade_no=order_no)

        assert (answer["code"], answer["sub_code"]) == ("40004", "ACQ.TRADE_NOT_EXIST")

    def test_closes_what_is_not_paid_and_takes_no_money_afterwards(self, paysim, merchant, order_no):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        assert merchant.call("alipay.trade.close", out_trade_no=order_no)["code"] == "10000"
        assert merchant.call("alipay.trade.close", out_trade_no=order_no)["code"] == "10000"
        assert paysim.press(visit["token"]).json()["code"] == "ACQ.TRADE_HAS_CLOSE"

    def test_refuses_to_close_what_is_paid(self, merchant, order_no, pay):
        pay(order_no)

        answer = merchant.call("alipay.trade.close", out_trade_no=order_no)

        assert answer["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
        assert merchant.call("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "TRADE_SUCCESS"

    def test_leaves_one_winner_when_the_buyer_pays_in_that_moment(self, paysim, merchant, order_no):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        with ThreadPoolExecutor(2) as pool:
            closed = pool.submit(merchant.call, "alipay.trade.close", out_trade_no=order_no)
            paid = pool.submit(paysim.press, visit["token"])

        assert (closed.result()["code"] == "10000") != (paid.result().status_code == 200)

    def test_keeps_the_payment_of_a_buyer_who_pays_while_the_shop_closes(self, paysim, merchant, order_no):
        paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))
        paysim.fault("answer_paid_to_close", out_trade_no=order_no)

        assert merchant.call("alipay.trade.close", out_trade_no=order_no)["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
        assert merchant.call("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "TRADE_SUCCESS"

    def test_can_be_made_to_take_money_after_closing(self, paysim, merchant, order_no):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))
        merchant.call("alipay.trade.close", out_trade_no=order_no)
        paysim.fault("pay_after_close", out_trade_no=order_no)

        assert paysim.press(visit["token"]).json()["trade_status"] == "TRADE_SUCCESS"


class TestRefund:
    def refund(self, merchant: Merchant, order_no: str, number: str, amount: str) -> dict[str, object]:
        return merchant.call("alipay.trade.refund", out_trade_no=order_no, out_request_no=number, refund_amount=amount)

    def test_moves_money_once_per_request_number(self, merchant, order_no, pay):
        pay(order_no)

        first = self.refund(merchant, order_no, "R1", "20.00")
        again = self.refund(merchant, order_no, "R1", "20.00")

        assert (first["fund_change"], again["fund_change"]) == ("Y", "N")
        assert again["refund_fee"] == "20.00"

    def test_moves_money_once_when_asked_many_times_at_once(self, merchant, order_no, pay):
        pay(order_no)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: self.refund(merchant, order_no, "R1", "49.90"), range(24)))

        assert [answer["fund_change"] for answer in answers].count("Y") == 1

    def test_never_gives_back_more_than_was_paid(self, merchant, order_no, pay):
        pay(order_no)
        self.refund(merchant, order_no, "R1", "30.00")

        answer = self.refund(merchant, order_no, "R2", "30.00")

        assert answer["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
        assert self.refund(merchant, order_no, "R3", "19.90")["refund_fee"] == "49.90"
        assert merchant.call("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "TRADE_CLOSED"

    def test_refuses_a_number_used_for_another_amount(self, merchant, order_no, pay):
        pay(order_no)
        self.refund(merchant, order_no, "R1", "20.00")

        assert self.refund(merchant, order_no, "R1", "20.01")["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"

    def test_refuses_what_was_not_paid(self, paysim, merchant, order_no):
        paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        assert self.refund(merchant, order_no, "R1", "20.00")["sub_code"] == "ACQ.TRADE_STATUS_ERROR"

    def test_can_be_asked_about(self, merchant, order_no, pay):
        pay(order_no)
        ask = {"out_trade_no": order_no, "out_request_no": "R1"}
        before = merchant.call("alipay.trade.fastpay.refund.query", **ask)
        self.refund(merchant, order_no, "R1", "20.00")

        after = merchant.call("alipay.trade.fastpay.refund.query", **ask)

        assert "refund_status" not in before
        assert (after["refund_status"], after["refund_amount"]) == ("REFUND_SUCCESS", "20.00")

    def test_is_carried_out_even_when_its_answer_is_lost(self, paysim, merchant, order_no, pay):
        pay(order_no)
        content = {"out_trade_no": order_no, "out_request_no": "R1", "refund_amount": "49.90"}
        paysim.fault("lost_answer", out_trade_no=order_no)

        lost = paysim.http.post("/gateway.do", data=merchant.gateway_fields("alipay.trade.refund", content))

        assert lost.status_code == 503
        assert self.refund(merchant, order_no, "R1", "49.90")["fund_change"] == "N"

    def test_is_not_carried_out_while_the_gateway_is_unavailable(self, paysim, merchant, order_no, pay):
        pay(order_no)
        content = {"out_trade_no": order_no, "out_request_no": "R1", "refund_amount": "49.90"}
        paysim.fault("unavailable", out_trade_no=order_no)

        lost = paysim.http.post("/gateway.do", data=merchant.gateway_fields("alipay.trade.refund", content))

        assert lost.status_code == 503
        assert self.refund(merchant, order_no, "R1", "49.90")["fund_change"] == "Y"


class TestGateway:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"sign": "AAAA"}, "isv.invalid-signature"),
            ({"sign_type": "none"}, "isv.invalid-signature"),
            ({"method": "alipay.trade.refund"}, "isv.invalid-signature"),
            ({"app_id": "1"}, "isv.invalid-app-id"),
        ],
    )
    def test_refuses_what_its_merchant_did_not_sign(self, merchant, order_no, change, reason):
        fields = merchant.gateway_fields("alipay.trade.query", {"out_trade_no": order_no}) | change

        assert merchant.post(fields)["sub_code"] == reason

    def test_refuses_a_recorded_request_of_last_week(self, merchant, order_no):
        old = merchant.gateway_fields("alipay.trade.query", {"out_trade_no": order_no}, age=timedelta(days=7))

        assert merchant.post(old)["sub_code"] == "isv.invalid-timestamp"

    @pytest.mark.parametrize("content", [{}, {"out_trade_no": ""}, {"out_trade_no": "a b"}, {"out_trade_no": "x" * 65}])
    def test_refuses_an_order_number_that_cannot_be(self, merchant, content):
        answer = merchant.call("alipay.trade.query", **content)

        assert answer["sub_code"] in ("ACQ.TRADE_NOT_EXIST", "isv.invalid-parameter")

    def test_knows_its_methods_only(self, merchant):
        assert merchant.call("alipay.trade.create", out_trade_no="A")["sub_code"] == "isv.invalid-method"

    def test_refuses_a_long_request_and_lives_on(self, paysim, merchant, order_no):
        # It does not read on: the caller gets a refusal, or a closed connection while still writing.
        with contextlib.suppress(httpx.TransportError):
            answer = paysim.http.post("/gateway.do", content=b"a=" + b"x" * 1_000_000)
            assert answer.status_code == 400

        assert merchant.call("alipay.trade.query", out_trade_no=order_no)["sub_code"] == "ACQ.TRADE_NOT_EXIST"

    def test_hides_the_trades_of_another_merchant(self, paysim, merchant, order_no, pay):
        pay(order_no)
        stranger = Merchant(paysim, app_id="2021000000000077")
        stranger.clock = merchant.clock

        assert stranger.call("alipay.trade.query", out_trade_no=order_no)["sub_code"] == "ACQ.TRADE_NOT_EXIST"

    def test_hands_out_the_bill_page_by_page(self, merchant, order_no, pay):
        trade_no = pay(order_no)
        merchant.call("alipay.trade.refund", out_trade_no=order_no, out_request_no="R1", refund_amount="10.00")

        entries = merchant.call("paysim.book.query", after_trade_no="")["entries"]
        last = merchant.call("paysim.book.query", after_trade_no=entries[-1]["trade_no"])["entries"]

        (mine,) = [entry for entry in entries if entry["trade_no"] == trade_no]
        assert (mine["paid"], mine["total_cents"], mine["refunded_cents"]) == (True, 4990, 1000)
        assert mine["refund_count"] == 1
        assert last == []
