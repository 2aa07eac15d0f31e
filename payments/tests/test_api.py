from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from common import tokens
from payments.gateway.contract import Trade
from payments.models import Capture, Payment
from payments.services import capturing, closing
from payments.tests import kit
from payments.tests.test_refunding import NOW

pytestmark = pytest.mark.django_db(databases=["payments"])


def client_of(buyer_id: int) -> Client:
    return Client(headers={"Authorization": f"Bearer {tokens.issue(buyer_id)}"})


class TestPay:
    def test_answers_with_a_link_that_opens_the_cashier(self, paysim):
        payment = kit.open_payment()

        response = client_of(kit.BUYER_ID).post(f"/api/payments/{payment.order_no}", content_type="application/json")

        assert response.status_code == 200
        visit = paysim.visit(response.json()["cashier_url"])
        assert visit["out_trade_no"] == payment.order_no
        assert visit["total_cents"] == kit.PRICE_CENTS

    def test_sends_the_buyer_to_the_channel_of_their_choice(self, paysim):
        payment = kit.open_payment()

        response = client_of(kit.BUYER_ID).post(
            f"/api/payments/{payment.order_no}", {"channel": "wechat"}, content_type="application/json"
        )

        assert response.json()["channel"] == "wechat"
        assert "/cashier/wechat?" in response.json()["cashier_url"]
        assert paysim.visit(response.json()["cashier_url"])["out_trade_no"] == payment.order_no

    def test_knows_no_other_channel(self):
        response = client_of(kit.BUYER_ID).post(
            f"/api/payments/{kit.open_payment().order_no}", {"channel": "barter"}, content_type="application/json"
        )

        assert response.status_code == 422

    def test_says_try_again_when_the_gateway_gives_no_link(self, paysim):
        payment = kit.open_payment()
        paysim.fault("unavailable", out_trade_no=payment.order_no)
        ask: dict[str, Any] = {"path": f"/api/payments/{payment.order_no}", "data": {"channel": "wechat"}}

        assert client_of(kit.BUYER_ID).post(**ask, content_type="application/json").status_code == 503
        assert client_of(kit.BUYER_ID).post(**ask, content_type="application/json").status_code == 200

    def test_answers_not_found_to_another_buyer(self):
        payment = kit.open_payment()

        for response in (
            client_of(kit.BUYER_ID + 1).post(f"/api/payments/{payment.order_no}", content_type="application/json"),
            client_of(kit.BUYER_ID + 1).get(f"/api/payments/{payment.order_no}"),
            client_of(kit.BUYER_ID).post("/api/payments/NO-SUCH-ORDER", content_type="application/json"),
            client_of(kit.BUYER_ID).post("/api/payments/%00", content_type="application/json"),
            client_of(kit.BUYER_ID).get("/api/payments/%00"),
        ):
            assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")

    def test_asks_for_a_token(self):
        payment = kit.open_payment()

        assert Client().post(f"/api/payments/{payment.order_no}", content_type="application/json").status_code == 401
        assert Client().get(f"/api/payments/{payment.order_no}").status_code == 401

    def test_refuses_when_the_time_is_over(self):
        payment = kit.open_payment(expires_in=timedelta(seconds=-1))

        response = client_of(kit.BUYER_ID).post(f"/api/payments/{payment.order_no}", content_type="application/json")

        assert (response.status_code, response.json()["code"]) == (409, "PAYMENT_NOT_OPEN")
        assert response.json()["details"] == {"status": "EXPIRED"}

    def test_refuses_while_the_order_is_closing(self):
        payment = kit.open_payment()
        closing.ask_gateway(order_no=payment.order_no, version=3, now=NOW)

        response = client_of(kit.BUYER_ID).post(f"/api/payments/{payment.order_no}", content_type="application/json")

        assert response.json()["details"] == {"status": "CLOSING"}


class TestShow:
    def test_tells_the_owner_how_the_payment_stands(self):
        payment = kit.open_payment()
        capturing.record(order_no=payment.order_no, trade=Trade("2026-1", kit.PRICE_CENTS, NOW), now=NOW)

        body = client_of(kit.BUYER_ID).get(f"/api/payments/{payment.order_no}").json()

        assert body == {
            "order_no": payment.order_no,
            "payment_no": payment.payment_no,
            "status": "SUCCEEDED",
            "amount_cents": kit.PRICE_CENTS,
            "currency": "CNY",
            "captured_cents": kit.PRICE_CENTS,
            "refunded_cents": 0,
        }


@pytest.mark.django_db(databases=["payments"], transaction=True)
class TestTheWholeWay:
    def test_from_the_link_over_the_cashier_to_the_callback(self, web_url, settings, paysim, queue):
        settings.WEB_URL = web_url
        payment = kit.open_payment()
        link = (
            client_of(kit.BUYER_ID)
            .post(f"/api/payments/{payment.order_no}", content_type="application/json")
            .json()["cashier_url"]
        )

        paysim.press(paysim.visit(link)["token"])
        assert queue.has_ended.wait(10)

        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
        assert Capture.objects.get(payment=payment).amount_cents == kit.PRICE_CENTS
        assert len(queue.shown_as("PaymentSucceeded")) == 1
