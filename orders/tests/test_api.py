"""Orders over HTTP: what goes in, what comes out, and who may see it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from common import tokens
from messaging.testing import RecordedQueue
from orders.models import Status
from orders.services import opening
from orders.tests import book
from orders.tests.book import ALICE, BOB

pytestmark = pytest.mark.django_db(databases=["orders"], transaction=True)

BASKET = {"lines": [{"sku": "TEAPOT", "quantity": 2}]}


class Buyer:
    """A browser with a buyer's token."""

    def __init__(self, buyer_id: int) -> None:
        self._client = Client(headers={"Authorization": f"Bearer {tokens.issue(buyer_id)}"})

    def post(self, path: str, body: Any = None, *, key: str | None = "checkout-1") -> tuple[int, dict[str, Any]]:
        headers = {} if key is None else {"Idempotency-Key": key}
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        response = self._client.post(path, text, content_type="application/json", headers=headers)
        return response.status_code, response.json()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        response = self._client.get(path)
        return response.status_code, response.json()


@pytest.fixture
def alice() -> Buyer:
    return Buyer(ALICE)


@pytest.fixture
def bob() -> Buyer:
    return Buyer(BOB)


def number(digit: str = "0") -> str:
    """A number that looks like an order's."""
    return "M261121" + digit * 16


class TestShow:
    def test_tells_all_about_an_order(self, alice: Buyer):
        book.order(number(), Status.PENDING_PAYMENT)

        status, order = alice.get(f"/api/orders/{number()}")

        assert status == 200
        assert (order["status"], order["total_cents"], order["currency"]) == ("PENDING_PAYMENT", 2500, "CNY")
        assert order["expires_at"] == "2026-11-22T12:00:00Z"
        [line] = order["lines"]
        assert (line["sku"], line["title"], line["quantity"]) == ("TEAPOT", "Teapot", 2)
        assert (line["unit_price_cents"], line["discount_cents"], line["price_cents"]) == (1250, 0, 2500)

    def test_asks_for_the_payment_once_it_can_be_taken(self, alice: Buyer):
        """Protects `shown_status` and `visible_to`: payments hears of an order later than its buyer could."""
        book.order(number(), Status.PENDING_PAYMENT, is_payable=False)

        early, early_list = alice.get(f"/api/orders/{number()}")[1], alice.get("/api/orders")[1]
        with transaction.atomic(using="orders"):
            opening.show_payable([number()], now=book.NOON)
        then, then_list = alice.get(f"/api/orders/{number()}")[1], alice.get("/api/orders")[1]

        assert (early["status"], early_list["orders"]) == ("PLACED", [])
        assert (then["status"], then_list["orders"]) == ("PENDING_PAYMENT", [then])

    def test_tells_why_an_order_was_canceled(self, alice: Buyer):
        book.order(number(), Status.CANCELED)

        _, order = alice.get(f"/api/orders/{number()}")

        assert order["reason"] == "OUT_OF_STOCK"
        assert order["reason_details"]["shortages"] == [{"sku": "TEAPOT", "wanted": 2, "available": 1}]

    @pytest.mark.parametrize("order_no", [number("1"), "x", "M1", "%00", "M261121%00", "a" * 5000])
    def test_finds_nothing_else(self, alice: Buyer, order_no: str):
        status, refusal = alice.get(f"/api/orders/{order_no}")

        assert (status, refusal["code"]) == (404, "NOT_FOUND")

    def test_takes_two_queries(self, alice: Buyer, django_assert_num_queries):
        book.order(number(), Status.PAID)

        with django_assert_num_queries(2, using="orders"):
            alice.get(f"/api/orders/{number()}")

    def test_answers_in_the_same_shape_where_nothing_is(self, alice: Buyer):
        status, refusal = alice.get("/api/nothing/here")

        assert (status, refusal["code"]) == (404, "NOT_FOUND")


class TestMine:
    def test_lists_a_buyers_own_orders_but_no_pre_orders(self, alice: Buyer):
        book.order(number("1"), Status.PLACED)
        book.order(number("2"), Status.PENDING_PAYMENT)
        book.order(number("3"), Status.PAID, buyer_id=BOB)

        _, page = alice.get("/api/orders")

        assert [order["order_no"] for order in page["orders"]] == [number("2")]
        assert page["next_before"] is None

    def test_turns_pages(self, alice: Buyer):
        for digit in "12345":
            book.order(number(digit), Status.PAID)

        seen, before = [], ""
        for _ in range(3):
            _, page = alice.get(f"/api/orders?limit=2{before}")
            seen += [order["order_no"][-1] for order in page["orders"]]
            before = f"&before={page['next_before']}"

        assert seen == ["5", "4", "3", "2", "1"]
        assert page["next_before"] is None

    @pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=many", "before=" + "x" * 33])
    def test_refuses_wrong_pages(self, alice: Buyer, query: str):
        assert alice.get(f"/api/orders?{query}")[0] == 422


class TestCancel:
    def test_begins_to_close_the_order(self, alice: Buyer, queue: RecordedQueue):
        book.order(number(), Status.PENDING_PAYMENT)

        status, order = alice.post(f"/api/orders/{number()}/cancel")

        assert (status, order["status"], order["reason"]) == (202, "CLOSING", "BUYER_CANCELED")

    def test_refuses_a_shipped_order(self, alice: Buyer, queue: RecordedQueue):
        book.order(number(), Status.SHIPPED)

        status, refusal = alice.post(f"/api/orders/{number()}/cancel")

        assert (status, refusal["code"], refusal["details"]) == (409, "INVALID_TRANSITION", {"status": "SHIPPED"})


class TestAddresses:
    @pytest.mark.parametrize(("method", "path"), [("get", "/api/orders/%00"), ("post", "/api/orders/%00/cancel")])
    def test_that_no_order_can_have_are_not_found(self, alice: Buyer, method: str, path: str):
        status, refusal = getattr(alice, method)(path)

        assert (status, refusal["code"]) == (404, "NOT_FOUND")


class TestOtherBuyers:
    def test_see_404_where_there_is_an_order(self, bob: Buyer, queue: RecordedQueue):
        """Protects `buyer_id=` in queries.py and closing.py: the answer is the same as for no order at all."""
        book.order(number(), Status.PENDING_PAYMENT)

        for status, refusal in (bob.get(f"/api/orders/{number()}"), bob.post(f"/api/orders/{number()}/cancel")):
            assert (status, refusal["code"]) == (404, "NOT_FOUND")
        assert bob.get("/api/orders")[1]["orders"] == []
        assert bob.get(f"/api/orders?before={number()}")[0] == 404
        assert book.state(number()) == (Status.PENDING_PAYMENT, 2)

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("get", "/api/orders"),
            ("get", f"/api/orders/{number()}"),
            ("post", f"/api/orders/{number()}/cancel"),
            ("post", f"/api/orders/{number()}/receipt"),
            ("post", f"/api/orders/{number()}/refunds"),
            ("get", f"/api/orders/{number()}/refunds"),
        ],
    )
    def test_without_a_token_see_401(self, method: str, path: str):
        response = getattr(Client(), method)(path, content_type="application/json")

        assert (response.status_code, response.json()["code"]) == (401, "NOT_AUTHENTICATED")
