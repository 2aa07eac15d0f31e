"""The table of transitions, and what the database refuses by itself."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from orders import messages, models
from orders.models import TRANSITIONS, Order, OrderEvent, OrderLine, Status
from orders.tests import book
from orders.tests.book import NOON


class TestTransitions:
    def test_are_drawn_in_the_docstring(self):
        drawn = [line.split()[:4] for line in (models.__doc__ or "").splitlines() if "->" in line]

        assert drawn == [
            [before, "->", after, tag] for before, row in TRANSITIONS.items() for after, tag in row.items()
        ]

    def test_have_a_row_for_every_status(self):
        assert list(TRANSITIONS) == list(Status)

    def test_are_each_told_by_an_event_that_exists(self):
        for row in TRANSITIONS.values():
            for tag in row.values():
                assert hasattr(messages, tag)


@pytest.mark.django_db(databases=["orders"])
class TestTables:
    def test_refuse_two_events_of_one_version(self):
        """Protects the unique key of OrderEvent, which is what makes I10 hold."""
        order = book.order()

        with pytest.raises(IntegrityError, match="order_event_once"), transaction.atomic(using="orders"):
            OrderEvent.objects.create(order=order, version=1, tag="OrderPaid", status=Status.PAID, happened_at=NOON)

    def test_refuse_an_unknown_status(self):
        book.order()

        with pytest.raises(IntegrityError, match="order_status_known"), transaction.atomic(using="orders"):
            Order.objects.update(status="ALMOST_PAID")

    def test_refuse_an_order_for_nothing(self):
        book.order()

        with pytest.raises(IntegrityError, match="order_total_positive"), transaction.atomic(using="orders"):
            Order.objects.update(total_cents=0)

    def test_refuse_two_lines_of_one_article(self):
        order = book.order()

        with pytest.raises(IntegrityError, match="order_line_once"), transaction.atomic(using="orders"):
            OrderLine.objects.create(order=order, sku="TEAPOT", title="Teapot", quantity=1, unit_price_cents=1)
