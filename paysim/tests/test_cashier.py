from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest

from paysim.alipay import signing

NOWHERE = "http://127.0.0.1:9/callback"


class TestCashier:
    def test_tells_who_comes_without_an_order_where_to_get_one(self, paysim):
        page = paysim.http.get("/")

        assert page.status_code == 200
        assert "/api/payments/" in page.text

    def test_shows_a_page_that_says_it_is_a_simulation(self, paysim, merchant, order_no):
        page = paysim.http.get(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        assert page.status_code == 200
        assert "no real money" in page.text
        assert "¥49.90" in page.text
        assert order_no in page.text
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]

    def test_shows_the_same_trade_at_each_visit(self, paysim, merchant, order_no):
        url = merchant.cashier_url(order_no, 4990, notify_url=NOWHERE)

        assert paysim.visit(url)["trade_no"] == paysim.visit(url)["trade_no"]

    def test_escapes_what_the_shop_says(self, paysim, merchant, order_no):
        fields = merchant.cashier_fields(order_no, 100, notify_url=NOWHERE)
        fields["biz_content"] = fields["biz_content"].replace("Retro clock", "<script>alert(1)</script>")
        fields = signing.sign_fields(merchant.key, fields)

        page = paysim.http.get(f"/cashier?{urlencode(fields)}")

        assert "<script>" not in page.text
        assert "&lt;script&gt;" in page.text

    def test_lets_a_browser_press_the_button(self, paysim, merchant, order_no):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        page = paysim.http.post("/cashier/pay", data={"token": visit["token"], "outcome": "pay"})

        assert "Paid." in page.text

    def test_leaves_a_failed_payment_open_for_another_try(self, paysim, merchant, order_no):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        assert paysim.press(visit["token"], "fail").json()["trade_status"] == "WAIT_BUYER_PAY"
        assert paysim.press(visit["token"], "pay").json()["trade_status"] == "TRADE_SUCCESS"

    def test_takes_no_money_after_the_time_is_over(self, paysim, merchant, order_no, pass_time):
        url = merchant.cashier_url(order_no, 4990, notify_url=NOWHERE, expires_in=timedelta(minutes=30))
        visit = paysim.visit(url)

        pass_time(31)

        assert paysim.press(visit["token"]).status_code == 409
        assert merchant.call("alipay.trade.query", out_trade_no=order_no)["trade_status"] == "TRADE_CLOSED"

    def test_refuses_another_amount_for_the_same_order(self, paysim, merchant, order_no):
        paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=NOWHERE))

        answer = paysim.http.get(merchant.cashier_url(order_no, 4991, notify_url=NOWHERE))

        assert answer.status_code == 409


class TestCashierLink:
    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"sign": ""}, "signature"),
            ({"sign": "AAAA"}, "signature"),
            ({"sign": "not base64!"}, "signature"),
            ({"sign_type": "RSA"}, "signature"),
            ({"notify_url": "http://127.0.0.1:1/other"}, "signature"),
            ({"app_id": "2021000000000099"}, "public key"),
            ({"app_id": "../../etc/passwd"}, "public key"),
        ],
    )
    def test_is_refused_when_its_merchant_did_not_sign_it(self, paysim, merchant, order_no, change, reason):
        fields = merchant.cashier_fields(order_no, 4990, notify_url=NOWHERE) | change

        answer = paysim.http.get(f"/cashier?{urlencode(fields)}")

        assert answer.status_code == 400
        assert reason in answer.text

    @pytest.mark.parametrize(
        ("old", "new"),
        [("49.90", "49.9"), ("49.90", "049.90"), ("49.90", "4.99e1"), ("49.90", "0.00"), ("49.90", "-1.00")],
    )
    def test_is_refused_with_an_amount_written_oddly(self, paysim, merchant, order_no, old, new):
        fields = merchant.cashier_fields(order_no, 4990, notify_url=NOWHERE)
        fields["biz_content"] = fields["biz_content"].replace(old, new)

        answer = paysim.http.get(f"/cashier?{urlencode(signing.sign_fields(merchant.key, fields))}")

        assert answer.status_code == 400

    @pytest.mark.parametrize("url", ["http://192.0.2.1/callback", "file:///etc/passwd", "http://[", "", "x" * 600])
    def test_is_refused_when_callbacks_would_go_elsewhere(self, paysim, merchant, order_no, url):
        answer = paysim.http.get(merchant.cashier_url(order_no, 4990, notify_url=url))

        assert answer.status_code == 400
        assert "notify_url" in answer.text

    def test_is_refused_when_it_is_long_or_says_a_thing_twice(self, paysim, merchant, order_no):
        url = merchant.cashier_url(order_no, 4990, notify_url=NOWHERE)

        assert paysim.http.get(f"{url}&app_id={merchant.app_id}").status_code == 400
        assert paysim.http.get(f"{url}&padding={'x' * 20_000}").status_code == 400
        assert paysim.http.get(f"{url}{'&a=1' * 50}").status_code == 400

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"token": 1, "outcome": "pay"}', b'{"token": "a"}', b"x" * 5000, b"[" * 4000]
    )
    def test_cannot_be_guessed(self, paysim, body):
        answer = paysim.http.post("/cashier/pay", content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code == 400
        assert paysim.press("A" * 32).status_code == 409
