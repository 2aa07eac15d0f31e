"""An unpaid order closes: its trades are closed at the gateways first, because until then the buyer may still pay.

The gateways' answers decide, and they are one of two: closed, or already paid. The callback of that payment may come
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
from payments.gateway import channels
from payments.gateway.contract import GatewayUnavailable, Trade
from payments.messages import CloseTrade, PaymentClosed
from payments.models import Payment
from payments.services import capturing, refunding

_LOG = logging.getLogger(__name__)

#: What is known after asking: closed, not known, or the trades of a buyer who had paid. None: nothing was to be asked.
Answer = Literal["CLOSED", "UNKNOWN"] | tuple[Trade, ...] | None


class PaidAmountDiffers(Exception):
    """The gateway has captured another amount than it was asked for: no program can make that good."""


def ask_gateway(*, order_no: str, version: int, now: datetime) -> Answer:
    """Hand out no more cashier links, then ask wherever one was handed out. Call outside of any transaction."""
    Payment.objects.filter(order_no=order_no, status=Payment.Status.PENDING).update(
        status=Payment.Status.CLOSING, order_version=Greatest("order_version", Value(version)), ask_at=None
    )
    payment = Payment.objects.get(order_no=order_no)
    if payment.status != Payment.Status.CLOSING:
        return None
    trades, is_known = close_trades(payment, payment.channels, now=now)
    if trades:
        return trades
    return "CLOSED" if is_known else "UNKNOWN"


def close_trades(payment: Payment, at: list[str], *, now: datetime) -> tuple[tuple[Trade, ...], bool]:
    """Close a payment's trades at these channels: those that were paid, and whether everybody answered."""
    paid: list[Trade] = []
    is_known = True
    for channel in at:
        try:
            trade = channels.of(channel).close(payment.order_no, now=now)
        except GatewayUnavailable as error:
            _LOG.warning("closing the trade of order %s at %s: %s", payment.order_no, channel, error)
            is_known = False
        else:
            paid += [trade] if trade is not None else []
    return tuple(paid), is_known


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
        wrong = [trade for trade in answer if trade.amount_cents != payment.amount_cents]
        if wrong:
            cents = wrong[0].amount_cents
            raise PaidAmountDiffers(f"order {order_no}: {cents} instead of {payment.amount_cents} cents")
        events = [capturing.record(order_no=order_no, trade=trade, now=now) for trade in answer]
        return [event for event in events if event is not None]


def _close(payment: Payment, version: int, now: datetime) -> list[Outgoing]:
    if payment.status != Payment.Status.CLOSING:
        return []
    payment.settle(Payment.Status.CLOSED, now=now)
    return [PaymentClosed(order_no=payment.order_no, version=version)]
