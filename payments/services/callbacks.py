"""The gateway calls back: believe it or not, record what it says at most once, and write down what came.

The answer is `success` only when the payment is recorded, and stays `success` for every replay. `PaymentSucceeded` is
sent as a half message around the transaction that records the payment, so that both happen or neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from common import sql
from messaging.events import Event
from messaging.transactions import send_in_transaction
from payments.gateway import notice
from payments.gateway.client import Trade
from payments.gateway.notice import Notice, Refused, Verdict
from payments.models import CallbackLog, Payment
from payments.services import capturing

_COUNT_REFUSAL = sql.Statement(Path(__file__).with_name("count_refusal.sql"))

_LOGGED_BODY_CHARACTERS = 2048
#: What anybody who knows the address can cause. Each minute the first of each verdict are logged, the others counted.
_UNSIGNED = frozenset({Verdict.NOT_POST, Verdict.TOO_LARGE, Verdict.MALFORMED, Verdict.BAD_SIGNATURE})
LOGGED_PER_MINUTE = 60
#: A payment changes its state twice at most while a callback is being recorded.
_ROUNDS_MAX = 4
_VERDICTS = {
    Payment.Status.PENDING: Verdict.ACCEPTED,
    Payment.Status.CLOSING: Verdict.ACCEPTED,
    Payment.Status.CLOSED: Verdict.LATE_PAYMENT,
    Payment.Status.SUCCEEDED: Verdict.SECOND_PAYMENT,
}


class _Changed(Exception):
    """What was foreseen is not what happened: nothing was recorded, look again."""


@dataclass
class _Received:
    """One callback as it came."""

    body: bytes
    now: datetime
    fields: Mapping[str, str] = field(default_factory=dict)

    def log(self, verdict: Verdict) -> Verdict:
        if verdict in _UNSIGNED and self._count(verdict) > LOGGED_PER_MINUTE:
            return verdict
        CallbackLog.objects.create(
            received_at=self.now,
            verdict=verdict,
            order_no=self._claimed("out_trade_no"),
            trade_no=self._claimed("trade_no"),
            notify_id=self._claimed("notify_id"),
            body=_storable(self.body.decode(errors="replace")[:_LOGGED_BODY_CHARACTERS]),
        )
        return verdict

    def _count(self, verdict: Verdict) -> int:
        [(count,)] = _COUNT_REFUSAL.run("payments", now=self.now, verdict=verdict.value)
        return int(count)

    def _claimed(self, name: str) -> str:
        return _storable(self.fields.get(name, "")[:64])


def refuse(verdict: Verdict, body: bytes, *, now: datetime) -> Verdict:
    """Write down what cannot even be a callback."""
    return _Received(body, now).log(verdict)


def receive(body: bytes, *, now: datetime) -> Verdict:
    """Record the callback and what it tells; the verdict is in the log when this returns.

    Raises: KeysMissing, or what the queue raises when the half message cannot be sent: nothing was recorded then, and
        the gateway calls again.
    """
    received = _Received(body, now)
    try:
        received.fields = notice.fields_of(body)
        told = notice.read(received.fields)
        return received.log(Verdict.IGNORED) if told is None else _record(told, received)
    except Refused as refusal:
        return received.log(refusal.verdict)


def _record(told: Notice, received: _Received) -> Verdict:
    """Raises: Refused."""
    trade = Trade(told.trade_no, told.amount_cents, told.paid_at)
    for _ in range(_ROUNDS_MAX):
        payment = _payment_of(told)
        try:
            event = capturing.foresee(payment, trade)
        except capturing.TradeOfAnotherOrder as error:
            raise Refused(Verdict.TRADE_OF_ANOTHER_ORDER) from error
        if event is None:
            return received.log(Verdict.REPLAYED)
        if not told.is_fresh(received.now):
            raise Refused(Verdict.STALE)
        try:
            return _carry_out(event, payment, trade, received)
        except _Changed:
            continue
    raise RuntimeError(f"the payment of {told.order_no} changed {_ROUNDS_MAX} times while a callback was recorded")


def _payment_of(told: Notice) -> Payment:
    """Raises: Refused: there is none, or not of this price."""
    payment = Payment.objects.filter(order_no=told.order_no).first()
    if payment is None:
        raise Refused(Verdict.UNKNOWN_ORDER)
    if told.currency != payment.currency:
        raise Refused(Verdict.WRONG_CURRENCY)
    if told.amount_cents != payment.amount_cents:
        raise Refused(Verdict.WRONG_AMOUNT)
    return payment


def _carry_out(event: Event, payment: Payment, trade: Trade, received: _Received) -> Verdict:
    """One half message, one transaction: the capture, what follows from it, and the log.

    Raises: _Changed.
    """

    def work() -> Verdict:
        if capturing.record(order_no=payment.order_no, trade=trade, now=received.now) != event:
            raise _Changed
        return received.log(_VERDICTS[Payment.Status(payment.status)])

    return send_in_transaction(event, work, using="payments")


def _storable(text: str) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", "�")
