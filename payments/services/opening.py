"""A confirmed order may be paid: its payment opens, and its buyer gets a link to the cashier."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db.models import F, Func, Value

from common import ids
from common.errors import NotFound, ShopError, TryAgain
from payments.gateway import channels
from payments.gateway.contract import GatewayRefused, GatewayUnavailable, Invoice
from payments.models import Payment

#: A buyer needs about so long to pay, and a callback milliseconds: after that the gateway is asked.
ASK_FIRST_AFTER = timedelta(seconds=30)


class PaymentNotOpen(ShopError):
    """The order is paid, closing or closed, or its time is over; `details` says which."""

    code: ClassVar[str] = "PAYMENT_NOT_OPEN"


class CashierUnavailable(TryAgain):
    """The gateway gave no link to its cashier; the buyer may ask again, or choose another channel."""


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


def cashier_url(*, order_no: str, buyer_id: int, now: datetime, channel: str = channels.DEFAULT) -> str:
    """The link with which the buyer pays this order by a channel; asking again gives a link to the same trade.

    A buyer may go to one channel, come back and go to the other: whichever trade is paid first pays the order.

    Raises: NotFound: no such order, or another buyer's. PaymentNotOpen. CashierUnavailable.
    """
    payment = Payment.objects.filter(order_no=order_no, buyer_id=buyer_id).first()
    if payment is None:
        raise NotFound("There is no order of this number to pay.")
    if payment.status != Payment.Status.PENDING:
        raise PaymentNotOpen("This order cannot be paid any more.", status=payment.status)
    if now >= payment.expires_at:
        raise PaymentNotOpen("The time to pay this order is over.", status="EXPIRED")
    _note_channel(payment, channel, now)
    invoice = Invoice(
        order_no=order_no,
        amount_cents=payment.amount_cents,
        subject=f"Millrace order {order_no}",
        notify_url=f"{settings.PAYMENT_NOTIFY_URL or settings.WEB_URL}/api/payments/callbacks/{channel}",
        return_url=f"{settings.WEB_URL}/api/orders/{order_no}",
        expires_at=payment.expires_at,
    )
    try:
        return channels.of(channel).cashier_url(invoice, now=now)
    except GatewayUnavailable as error:
        raise CashierUnavailable(f"{channel} gave no link for {order_no}: {error}") from error
    except GatewayRefused as refusal:
        # It is paid or closed there, and we have not heard of it: the reconciler asks at its next look.
        Payment.objects.filter(pk=payment.pk, status=Payment.Status.PENDING).update(ask_at=now)
        raise PaymentNotOpen("The payment company has settled this order; we are asking it how.") from refusal


def _note_channel(payment: Payment, channel: str, now: datetime) -> None:
    """Write down where a trade may begin before it can, so that whoever closes the order closes it there, too.

    Raises: PaymentNotOpen: it began to close meanwhile.
    """
    pending = Payment.objects.filter(pk=payment.pk, status=Payment.Status.PENDING)
    if not pending.update(ask_at=now + ASK_FIRST_AFTER, asking_since=now):
        raise PaymentNotOpen("This order cannot be paid any more.", status=Payment.Status.CLOSING)
    append = Func(F("channels"), Value(channel), function="array_append")
    pending.exclude(channels__contains=[channel]).update(channels=append)
