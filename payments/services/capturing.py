"""Money arrived: it is recorded once, and what follows depends on what the payment was at that moment.

    PENDING, CLOSING   it pays the order: SUCCEEDED, and `PaymentSucceeded`
    CLOSED             it came too late: recorded, and given back whole
    SUCCEEDED          the buyer paid twice: recorded, and given back whole

`foresee` says what will follow and `record` does it under the payment's row lock. They are two functions because the
message that follows has to be on its way (as a half message) before the transaction that decides it has begun: the
sender foresees, sends, records, and starts again when recording finds that the payment has changed meanwhile.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from messaging.events import Event
from payments.gateway.client import Trade
from payments.messages import DUPLICATE, LATE, ExecuteRefund, PaymentSucceeded
from payments.models import Capture, Payment
from payments.services import refunding


class TradeOfAnotherOrder(Exception):
    """The trade number paid another order before: one of the two notices lies, a person has to look."""


def foresee(payment: Payment, trade: Trade) -> Event | None:
    """What recording this trade would tell the world; None when it is recorded already.

    Raises: TradeOfAnotherOrder.
    """
    known = Capture.objects.filter(trade_no=trade.trade_no).first()
    if known is not None:
        if known.payment_id != payment.pk:
            raise TradeOfAnotherOrder(trade.trade_no)
        return None
    if payment.is_open:
        return PaymentSucceeded(
            order_no=payment.order_no,
            version=payment.order_version,
            payment_no=payment.payment_no,
            trade_no=trade.trade_no,
            amount_cents=trade.amount_cents,
            paid_at=trade.paid_at,
        )
    return ExecuteRefund(
        order_no=payment.order_no,
        version=payment.order_version,
        refund_no=refunding.refund_number(payment.order_no, _refund_key(payment, trade)),
    )


def record(*, order_no: str, trade: Trade, now: datetime) -> Event | None:
    """Record the trade, unless it is recorded, and return what is to be told.

    Raises: TradeOfAnotherOrder.
    """
    with transaction.atomic(using="payments"):
        payment = Payment.objects.select_for_update().get(order_no=order_no)
        event = foresee(payment, trade)
        if event is None:
            return None
        capture = Capture.objects.create(
            payment=payment,
            trade_no=trade.trade_no,
            amount_cents=trade.amount_cents,
            is_for_order=payment.is_open,
            paid_at=trade.paid_at,
            recorded_at=now,
        )
        if payment.is_open:
            payment.settle(Payment.Status.SUCCEEDED, now=now)
        else:
            refunding.give_back_whole(capture, refund_key=_refund_key(payment, trade), now=now)
        return event


def _refund_key(payment: Payment, trade: Trade) -> str:
    return (DUPLICATE if payment.status == Payment.Status.SUCCEEDED else LATE) + trade.trade_no
