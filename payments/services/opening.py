"""A confirmed order may be paid: its payment opens, and its buyer gets a link to the cashier."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings

from common import ids
from common.errors import NotFound, ShopError
from payments.gateway import client
from payments.models import Payment


class PaymentNotOpen(ShopError):
    """The order is paid, closing or closed, or its time is over; `details` says which."""

    code: ClassVar[str] = "PAYMENT_NOT_OPEN"


def open_payment(
    *,
    order_no: str,
    order_version: int,
    buyer_id: int,
    amount_cents: int,
    currency: str,
    expires_at: datetime,
    now: datetime,
) -> None:
    """Expect the price of an order; a second call for the same order changes nothing."""
    Payment.objects.get_or_create(
        order_no=order_no,
        defaults={
            "payment_no": ids.new_number(ids.PAYMENT, now),
            "buyer_id": buyer_id,
            "amount_cents": amount_cents,
            "currency": currency,
            "order_version": order_version,
            "expires_at": expires_at,
            "created_at": now,
        },
    )


def cashier_url(*, order_no: str, buyer_id: int, now: datetime) -> str:
    """The link with which the buyer pays this order; asking again gives another link to the same trade.

    Raises: NotFound: no such order, or another buyer's. PaymentNotOpen.
    """
    payment = Payment.objects.filter(order_no=order_no, buyer_id=buyer_id).first()
    if payment is None:
        raise NotFound("There is no order of this number to pay.")
    if payment.status != Payment.Status.PENDING:
        raise PaymentNotOpen("This order cannot be paid any more.", status=payment.status)
    if now >= payment.expires_at:
        raise PaymentNotOpen("The time to pay this order is over.", status="EXPIRED")
    return client.cashier_url(
        order_no=order_no,
        amount_cents=payment.amount_cents,
        subject=f"Millrace order {order_no}",
        notify_url=f"{settings.PAYMENT_NOTIFY_URL or settings.WEB_URL}/api/payments/callback",
        return_url=f"{settings.WEB_URL}/api/orders/{order_no}",
        expires_at=payment.expires_at,
        now=now,
    )
