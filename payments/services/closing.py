"""An unpaid order closes: the trade is closed at the gateway first, because until then the buyer may still pay.

The gateway's answer decides, and it is one of two: closed, or already paid. The callback of that payment may come
before or after; whoever is first records it. Without an answer the gateway is asked again, at growing distances.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Literal

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Greatest

from messaging.events import Delayed, Outgoing
from payments.gateway import client
from payments.gateway.client import GatewayUnavailable, Trade
from payments.messages import CloseTrade, PaymentClosed
from payments.models import Payment
from payments.services import capturing, refunding

_LOG = logging.getLogger(__name__)

#: What is known after asking: closed, not known, or the trade of a buyer who had paid. None: there was nothing to ask.
Answer = Literal["CLOSED", "UNKNOWN"] | Trade | None


class PaidAmountDiffers(Exception):
    """The gateway has captured another amount than it was asked for: no program can make that good."""


def ask_gateway(*, order_no: str, version: int, now: datetime) -> Answer:
    """Hand out no more cashier links, then ask the gateway to close. Call outside of any transaction, however often."""
    Payment.objects.filter(order_no=order_no, status=Payment.Status.PENDING).update(
        status=Payment.Status.CLOSING, order_version=Greatest("order_version", Value(version))
    )
    if Payment.objects.get(order_no=order_no).status != Payment.Status.CLOSING:
        return None
    try:
        trade = client.close_trade(order_no, now=now)
    except GatewayUnavailable as error:
        _LOG.warning("closing the trade of order %s: %s", order_no, error)
        return "UNKNOWN"
    return "CLOSED" if trade is None else trade


def settle(*, order_no: str, version: int, attempt: int, answer: Answer, now: datetime) -> list[Outgoing]:
    """Write down how it ended and say so. `attempt` counts the requests to the gateway from 1.

    Raises: PaidAmountDiffers.
    """
    if answer is None:
        return []
    if answer == "UNKNOWN":
        later = CloseTrade(order_no=order_no, version=version, attempt=attempt + 1)
        return [Delayed(later, refunding.retry_at(attempt, now))]
    with transaction.atomic(using="payments"):
        payment = Payment.objects.select_for_update().get(order_no=order_no)
        if answer == "CLOSED":
            return _close(payment, version, now)
        if answer.amount_cents != payment.amount_cents:
            raise PaidAmountDiffers(f"order {order_no}: {answer.amount_cents} instead of {payment.amount_cents} cents")
        event = capturing.record(order_no=order_no, trade=answer, now=now)
        return [] if event is None else [event]


def _close(payment: Payment, version: int, now: datetime) -> list[Outgoing]:
    if payment.status != Payment.Status.CLOSING:
        return []
    payment.settle(Payment.Status.CLOSED, now=now)
    return [PaymentClosed(order_no=payment.order_no, version=version)]
