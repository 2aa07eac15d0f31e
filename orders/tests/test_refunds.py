from __future__ import annotations

import pytest

from orders.models import OrderRefund, Status
from orders.services import refunds
from orders.tests import book
from orders.tests.book import NOON

pytestmark = pytest.mark.django_db(databases=["orders"])


def record(refund_no: str, amount_cents: int, *, key: str = "return"):
    return refunds.record_refund(
        order_no="M1", refund_no=refund_no, refund_key=f"{key}:{refund_no}", amount_cents=amount_cents, now=NOON
    )


class TestRecordRefund:
    def test_of_a_payment_that_came_too_late_leaves_the_order_closed(self):
        book.order(status=Status.CLOSED)

        assert record("R1", book.TOTAL_CENTS, key="late") == []

        assert book.state() == (Status.CLOSED, 4)
        assert OrderRefund.objects.get().amount_cents == book.TOTAL_CENTS

    def test_remembers_a_refund_once(self):
        book.order(status=Status.CLOSED)

        for _ in range(3):
            record("R1", book.TOTAL_CENTS)

        assert OrderRefund.objects.count() == 1

    def test_ends_a_paid_order_when_all_of_its_price_went_back(self):
        book.order(status=Status.PAID)

        assert record("R1", 1000) == []
        refunded = book.only(record("R2", 1500))

        assert (refunded.tag, refunded.version, refunded.amount_cents) == ("OrderRefunded", 4, book.TOTAL_CENTS)
        assert [(line.sku, line.quantity) for line in refunded.lines] == [("TEAPOT", 2)]
        assert book.state() == (Status.REFUNDED, 4)
        book.check_histories()

    def test_of_a_second_payment_leaves_the_order_paid(self):
        book.order(status=Status.PAID)

        assert record("R1", book.TOTAL_CENTS, key="duplicate") == []
        assert record("R2", book.TOTAL_CENTS - 1) == []

        assert book.state() == (Status.PAID, 3)
        assert book.only(record("R3", 1)).amount_cents == book.TOTAL_CENTS

    def test_says_so_once(self):
        book.order(status=Status.PAID)
        record("R1", book.TOTAL_CENTS)

        assert record("R1", book.TOTAL_CENTS) == []
