"""A buyer cancels so early that the command to close overtakes the news of the order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from messaging.registry import registry
from orders.messages import ORDER_EVENTS, ClosePayment, OrderConfirmed
from payments.consumers import open_payment
from payments.messages import PaymentClosed
from payments.models import Payment
from payments.services import opening
from payments.services.opening import PaymentNotOpen

pytestmark = pytest.mark.django_db(databases=["payments"], transaction=True)

NOW = datetime.now(UTC)
ORDER_NO, BUYER_ID = "EARLY-BIRD-1", 7
TOLD: dict[str, Any] = {
    "order_no": ORDER_NO,
    "buyer_id": BUYER_ID,
    "total_cents": 4990,
    "currency": "CNY",
    "expires_at": NOW + timedelta(hours=24),
}


class TestClosePaymentBeforeOrderConfirmed:
    def test_closes_an_order_that_payments_had_not_heard_of(self):
        """Protects `_expect` before asking the gateway in consumers.py: without it, the command is parked, and the
        confirmation behind it.
        """
        close = registry.find("payments", ORDER_EVENTS, "ClosePayment")
        assert close is not None
        command = ClosePayment(**TOLD, version=3, reason="BUYER_CANCELED")

        [said] = close.handle([command], [close.prepare(command)])
        open_payment(OrderConfirmed(**TOLD, version=2))

        assert said == [PaymentClosed(order_no=ORDER_NO, version=3)]
        assert Payment.objects.get().status == Payment.Status.CLOSED
        with pytest.raises(PaymentNotOpen):
            opening.cashier_url(order_no=ORDER_NO, buyer_id=BUYER_ID, now=NOW)
