"""The pay log: one line per paid order, however often it is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orders.messages import OrderPaid
from payments.models import PayLogEntry
from payments.services import pay_log

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.django_db(databases=["payments"])
class TestLog:
    def test_has_one_line_per_order_in_one_statement(self, django_assert_num_queries):
        """Protects `ON CONFLICT` in pay_log.sql."""
        paid = [
            OrderPaid(order_no=f"M{number}", version=3, buyer_id=7, total_cents=500, balance_cents=100, payment_no="P")
            for number in range(64)
        ]

        pay_log.log(paid[:10], now=NOON)
        with django_assert_num_queries(1, using="payments"):
            pay_log.log(paid, now=NOON)

        assert PayLogEntry.objects.count() == 64
