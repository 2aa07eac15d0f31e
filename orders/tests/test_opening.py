from __future__ import annotations

import pytest
from django.db import transaction

from orders.models import Order, Status
from orders.services import opening
from orders.tests import book
from orders.tests.book import DAY, NOON

pytestmark = pytest.mark.django_db(databases=["orders"])


def show_payable(*order_nos: str, now=NOON) -> None:
    with transaction.atomic(using="orders"):
        opening.show_payable(order_nos, now=now)


class TestShowPayable:
    def test_of_the_same_order_again_changes_nothing(self):
        book.order("M1", Status.PENDING_PAYMENT, is_payable=False)

        show_payable("M1")
        show_payable("M1", now=NOON + DAY)

        assert Order.objects.get().payable_at == NOON

    def test_of_a_batch_concerns_each_of_them_and_no_other(self):
        for number in range(4):
            book.order(f"M{number}", Status.PENDING_PAYMENT, is_payable=False)

        show_payable("M2", "M0", "M1")

        payable = Order.objects.exclude(payable_at=None).order_by("order_no")
        assert [order.order_no for order in payable] == ["M0", "M1", "M2"]

    @pytest.mark.parametrize("status", [Status.CLOSING, Status.PAID, Status.CLOSED])
    def test_of_an_order_that_has_moved_on_leaves_it_there(self, status: Status):
        before = book.order("M1", status, is_payable=False)

        show_payable("M1")

        after = Order.objects.get()
        assert (after.status, after.version, after.shown_status) == (status, before.version, status)
