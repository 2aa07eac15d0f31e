"""What a buyer may know of a payment. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from payments.models import Payment, Refund


@dataclass(frozen=True)
class PaymentView:
    order_no: str
    payment_no: str
    status: str
    amount_cents: int
    currency: str
    captured_cents: int
    refunded_cents: int


def of_order(order_no: str, *, buyer_id: int) -> PaymentView | None:
    """None: there is no such order, or it is another buyer's."""
    payment = Payment.objects.filter(order_no=order_no, buyer_id=buyer_id).prefetch_related("captures__refunds").first()
    if payment is None:
        return None
    captures = payment.captures.all()
    refunds = [refund for capture in captures for refund in capture.refunds.all()]
    return PaymentView(
        order_no=payment.order_no,
        payment_no=payment.payment_no,
        status=payment.status,
        amount_cents=payment.amount_cents,
        currency=payment.currency,
        captured_cents=sum(capture.amount_cents for capture in captures),
        refunded_cents=sum(one.amount_cents for one in refunds if one.status == Refund.Status.SUCCEEDED),
    )
