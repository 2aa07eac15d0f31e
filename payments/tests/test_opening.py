from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from messaging.registry import registry
from orders.messages import ORDER_EVENTS, OrderConfirmed
from payments import consumers
from payments.messages import PaymentOpened
from payments.models import Payment

pytestmark = pytest.mark.django_db(databases=["payments"])


class TestOrderConfirmed:
    def test_opens_the_payment_and_says_so(self):
        confirmed = OrderConfirmed(
            order_no="RETRO-CLOCK",
            version=2,
            buyer_id=7,
            total_cents=4990,
            currency="CNY",
            expires_at=datetime.now(UTC) + timedelta(hours=24),
        )
        consumer = registry.find("payments", ORDER_EVENTS, "OrderConfirmed")
        assert consumer is not None
        assert consumer.handler is consumers.open_payment

        assert consumer.handle([confirmed]) == [[PaymentOpened(order_no="RETRO-CLOCK", version=2)]]

        assert Payment.objects.get().status == Payment.Status.PENDING
