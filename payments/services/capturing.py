"""Money arrived: it is recorded once, and what follows depends on what the payment was at that moment.

    PENDING, CLOSING   it pays the order: SUCCEEDED, and `PaymentSucceeded`
    CLOSED             it came too late: recorded, and given back whole
    SUCCEEDED          the buyer paid twice: recorded, and given back whole

`foresee` says what will follow and `record` does it under the payment's row lock. They are two functions because the
message that follows has to be on its way (as a half message) before the transaction that decides it has begun:
`capture` foresees, sends, records, and starts again when recording finds that the payment has changed meanwhile.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from messaging.events import Event
from messaging.transactions import send_in_transaction
from payments.gateway.contract import Trade
from payments.messages import DUPLICATE, LATE, ExecuteRefund, PaymentSucceeded
from payments.models import Capture, Payment
from payments.services import refunding

#: A payment changes its state twice at most while a trade is being recorded.
_ROUNDS_MAX = 4


class TradeOfAnotherOrder(Exception):
    """The trade number paid another order before: one of the two notices lies, a person has to look."""


class Outcome(enum.Enum):
    """What became of money that arrived."""

    PAID = enum.auto()
    LATE = enum.auto()
    SECOND = enum.auto()
    KNOWN = enum.auto()


_OUTCOMES = {
    Payment.Status.PENDING: Outcome.PAID,
    Payment.Status.CLOSING: Outcome.PAID,
    Payment.Status.CLOSED: Outcome.LATE,
    Payment.Status.SUCCEEDED: Outcome.SECOND,
}


class _Changed(Exception):
    """What was foreseen is not what happened: nothing was recorded, look again."""


def capture(
    payment: Payment, trade: Trade, *, now: datetime, also: Callable[[Outcome], None] = lambda outcome: None
) -> Outcome:
    """Record money outside of any message's handling: one half message around one transaction.

    `also` is done in that transaction, unless the trade is known. The amount has been checked by the caller.

    Raises: TradeOfAnotherOrder, and what the queue raises when it does not take the message: nothing was recorded then.
    """
    for _ in range(_ROUNDS_MAX):
        event = foresee(payment, trade)
        if event is None:
            return Outcome.KNOWN
        try:
            return _carry_out(event, payment, trade, now, also)
        except _Changed:
            payment = Payment.objects.get(pk=payment.pk)
    raise RuntimeError(f"{payment} changed {_ROUNDS_MAX} times while trade {trade.trade_no} was recorded")


def _carry_out(event: Event, payment: Payment, trade: Trade, now: datetime, also: Callable[[Outcome], None]) -> Outcome:
    """Raises: _Changed."""
    outcome = _OUTCOMES[Payment.Status(payment.status)]

    def work() -> None:
        if record(order_no=payment.order_no, trade=trade, now=now) != event:
            raise _Changed
        also(outcome)

    send_in_transaction(event, work, using="payments")
    return outcome


def foresee(payment: Payment, trade: Trade) -> Event | None:
    """What recording this trade would tell the world; None when it is recorded already.

    Raises: TradeOfAnotherOrder.
    """
    known = Capture.objects.filter(trade_no=trade.trade_no, channel=trade.channel).first()
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
    with transaction.atomic(using="payments", savepoint=False):
        payment = Payment.objects.select_for_update().get(order_no=order_no)
        event = foresee(payment, trade)
        if event is None:
            return None
        recorded = Capture.objects.create(
            payment=payment,
            channel=trade.channel,
            trade_no=trade.trade_no,
            amount_cents=trade.amount_cents,
            is_for_order=payment.is_open,
            paid_at=trade.paid_at,
            recorded_at=now,
        )
        if payment.is_open:
            payment.settle(Payment.Status.SUCCEEDED, now=now)
        else:
            refunding.give_back_whole(recorded, refund_key=_refund_key(payment, trade), now=now)
        return event


def _refund_key(payment: Payment, trade: Trade) -> str:
    return (DUPLICATE if payment.status == Payment.Status.SUCCEEDED else LATE) + trade.trade_no
