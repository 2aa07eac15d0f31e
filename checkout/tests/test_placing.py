"""Placing orders over HTTP: what goes in, what comes out, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from checkout.tests.desk import Buyer
from messaging.testing import RecordedQueue
from mq.errors import ConnectionLost
from orders.models import Order
from orders.tests import book

DATABASES = ["accounts", "coupons", "orders"]
pytestmark = pytest.mark.django_db(databases=DATABASES, transaction=True)
#: Of tests in which nothing is placed: rolled back, which is much faster than emptying tables.
refused_early = pytest.mark.django_db(databases=DATABASES)

BASKET: dict[str, Any] = {"lines": [{"sku": "TEAPOT", "quantity": 2}]}


@pytest.fixture
def alice(db: None) -> Buyer:
    return Buyer("alice")


class TestPlace:
    def test_answers_202_with_a_place_to_look(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)

        status, placed = alice.post("/api/orders", BASKET)

        assert status == 202
        assert placed["status_url"] == f"/api/orders/{placed['order_no']}"
        assert alice.get(placed["status_url"])[1]["status"] == "PLACED"

    def test_answers_twins_alike(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)

        assert alice.post("/api/orders", BASKET) == alice.post("/api/orders", BASKET)

        assert Order.objects.count() == 1

    def test_refuses_another_body_under_the_same_key(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        alice.post("/api/orders", BASKET)

        status, refusal = alice.post("/api/orders", {"lines": [{"sku": "TEAPOT", "quantity": 3}]})

        assert (status, refusal["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")

    @refused_early
    @pytest.mark.parametrize("key", [None, "", "short", "k" * 129, "white space", "ключ-от-заказа"])
    def test_needs_a_proper_key(self, alice: Buyer, queue: RecordedQueue, key: str | None):
        status, refusal = alice.post("/api/orders", BASKET, key=key)

        assert (status, refusal["code"]) == (422, "INVALID_INPUT")
        assert refusal["details"]["field"] == "Idempotency-Key"

    @refused_early
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "lines"),
            ({"lines": []}, "lines"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 1}] * 51}, "lines"),
            ({"lines": [{"sku": "TEAPOT"}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 0}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 1000}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "TEAPOT", "quantity": "2"}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 1.5}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "TEAPOT", "quantity": True}]}, "lines.0.quantity"),
            ({"lines": [{"sku": "", "quantity": 1}]}, "lines.0.sku"),
            ({"lines": [{"sku": "TEA\u0000POT", "quantity": 1}]}, "lines.0.sku"),
            ({"lines": [{"sku": "TEAPOT\n", "quantity": 1}]}, "lines.0.sku"),
            ({"lines": [{"sku": "T" * 65, "quantity": 1}]}, "lines.0.sku"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 1, "unit_price_cents": 1}]}, "lines.0.unit_price_cents"),
            ({"lines": [{"sku": "TEAPOT", "quantity": 1}], "total_cents": 1}, "total_cents"),
            ("{", "body"),
            ('{"lines": NaN}', "body"),
        ],
    )
    def test_refuses_a_wrong_basket_and_names_the_field(
        self, alice: Buyer, queue: RecordedQueue, body: Any, field: str
    ):
        status, refusal = alice.post("/api/orders", body)

        assert status == 422
        assert refusal["details"]["field"] == field
        assert queue.halves == []

    def test_refuses_what_is_not_on_sale(self, alice: Buyer, queue: RecordedQueue):
        status, refusal = alice.post("/api/orders", BASKET)

        assert (status, refusal["code"], refusal["details"]["skus"]) == (422, "SKU_NOT_AVAILABLE", ["TEAPOT"])

    def test_refuses_a_body_over_the_limit(self, alice: Buyer, queue: RecordedQueue):
        status, refusal = alice.post("/api/orders", " " * 300_000)

        assert (status, refusal["code"]) == (413, "BODY_TOO_LARGE")

    def test_asks_to_try_again_when_the_queue_is_down(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        queue.failure = ConnectionLost("no broker")

        status, refusal = alice.post("/api/orders", BASKET)

        assert (status, refusal["code"]) == (503, "TRY_AGAIN")
        queue.failure = None
        assert alice.post("/api/orders", BASKET)[0] == 202

    def test_answers_twins_with_the_same_bytes(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)

        first, second = (alice.send("/api/orders", BASKET) for _ in range(2))

        assert first.content == second.content

    def test_is_one_transaction_two_broker_calls_and_a_query_for_the_address(
        self, alice: Buyer, queue: RecordedQueue, django_assert_num_queries
    ):
        book.on_sale(TEAPOT=1250)

        with (
            django_assert_num_queries(8, using="orders") as asked,
            django_assert_num_queries(1, using="accounts"),
            django_assert_num_queries(0, using="coupons"),
        ):
            assert alice.post("/api/orders", BASKET)[0] == 202

        assert [query["sql"] for query in asked.captured_queries].count("BEGIN") == 1
        assert len(queue.halves) == len(queue.shown()) == 1  # The half message, and its end.

    def test_goes_to_the_address_it_names_or_to_the_default(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        work = {"recipient": "A", "phone": "12345", "region": "CN-BJ", "city": "Beijing", "street": "9 Wangfujing"}
        address_no = alice.post("/api/addresses", work, key="address-2")[1]["address_no"]

        for number, more in enumerate(({}, {"address_no": address_no})):
            assert alice.post("/api/orders", {**BASKET, **more}, key=f"checkout-{number}")[0] == 202

        streets = list(Order.objects.order_by("placed_at").values_list("address__street", flat=True))
        assert streets == ["1 Nanjing Road", "9 Wangfujing"]

    def test_needs_an_address(self, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)

        status, refusal = Buyer("bob", has_address=False).post("/api/orders", BASKET)

        assert (status, refusal["code"]) == (422, "ADDRESS_MISSING")

    def test_finds_nobody_elses_address(self, alice: Buyer, queue: RecordedQueue):
        """Protects `mine` in accounts.queries.address_of."""
        book.on_sale(TEAPOT=1250)
        address_no = alice.get("/api/addresses")[1]["addresses"][0]["address_no"]

        status, refusal = Buyer("bob").post("/api/orders", {**BASKET, "address_no": address_no})

        assert (status, refusal["code"]) == (404, "NOT_FOUND")

    def test_takes_no_more_of_the_balance_than_there_is(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        alice.credit(100)

        status, refusal = alice.post("/api/orders", {**BASKET, "balance_cents": 101})

        assert (status, refusal["code"]) == (422, "BALANCE_TOO_LOW")
        assert refusal["details"]["available_cents"] == 100
        assert alice.post("/api/orders", {**BASKET, "balance_cents": 100})[0] == 202

    def test_takes_a_coupon_that_is_the_buyers_own_only(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        coupon_no = alice.coupon("FIVE-OFF", kind="THRESHOLD", threshold_cents=2000, off_cents=500)

        status, refusal = Buyer("bob").post("/api/orders", {**BASKET, "coupon_no": coupon_no})
        assert (status, refusal["code"], refusal["details"]["reason"]) == (422, "COUPON_NOT_USABLE", "NO_SUCH_COUPON")

        assert alice.post("/api/orders", {**BASKET, "coupon_no": coupon_no})[0] == 202
        order = Order.objects.get()
        assert (order.total_cents, order.coupon_no, order.coupon_cents) == (2000, coupon_no, 500)

    @refused_early
    @pytest.mark.parametrize(
        ("invoice", "field"),
        [
            ({"kind": "GIFT"}, "invoice"),
            ({"kind": "PERSONAL"}, "invoice.PERSONAL.title"),
            ({"kind": "PERSONAL", "title": " "}, "invoice.PERSONAL.title"),
            ({"kind": "PERSONAL", "title": "x" * 101}, "invoice.PERSONAL.title"),
            ({"kind": "COMPANY", "title": "Tea Ltd"}, "invoice.COMPANY.tax_no"),
            ({"kind": "COMPANY", "title": "Tea Ltd", "tax_no": "91310000MA1FL0000I"}, "invoice.COMPANY.tax_no"),
        ],
    )
    def test_refuses_an_invoice_that_nobody_could_write(
        self, alice: Buyer, queue: RecordedQueue, invoice: dict[str, str], field: str
    ):
        status, refusal = alice.post("/api/orders", {**BASKET, "invoice": invoice})

        assert (status, refusal["details"]["field"]) == (422, field)

    def test_keeps_what_the_invoice_shall_say(self, alice: Buyer, queue: RecordedQueue):
        book.on_sale(TEAPOT=1250)
        invoice = {"kind": "COMPANY", "title": "Tea 茶 Ltd", "tax_no": "91310000MA1FL00000"}

        _, placed = alice.post("/api/orders", {**BASKET, "invoice": invoice})

        assert alice.get(placed["status_url"])[1]["invoice"] == invoice


class TestAnonymous:
    @pytest.mark.parametrize("path", ["/api/orders", "/api/checkout"])
    def test_see_401(self, path: str):
        response = Client().post(path, content_type="application/json")

        assert (response.status_code, response.json()["code"]) == (401, "NOT_AUTHENTICATED")
