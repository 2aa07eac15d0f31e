from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError

from payments.models import InvalidTransition, Payment
from payments.services import opening
from payments.tests import kit

Status = Payment.Status
NOW = datetime.now(UTC)


@pytest.mark.django_db(databases=["payments"])
class TestPayment:
    @pytest.mark.parametrize(("before", "after"), list(itertools.product(Status, Status)))
    def test_goes_only_where_the_table_leads(self, before, after):
        payment = kit.open_payment()
        payment.status = before

        if after in Payment.TRANSITIONS[before]:
            payment.settle(after, now=NOW)
            assert Payment.objects.get(pk=payment.pk).status == after
        else:
            with pytest.raises(InvalidTransition, match=f"from {before} to {after}"):
                payment.settle(after, now=NOW)

    def test_is_opened_once_per_order(self):
        payment = kit.open_payment()

        opening.open_payment(
            order_no=payment.order_no,
            order_version=9,
            buyer_id=1,
            amount_cents=1,
            currency="CNY",
            expires_at=NOW,
            now=NOW,
        )

        assert Payment.objects.get(order_no=payment.order_no).amount_cents == kit.PRICE_CENTS

    def test_is_of_something(self):
        with pytest.raises(IntegrityError, match="payment_amount_positive"):
            kit.open_payment(amount_cents=0)
