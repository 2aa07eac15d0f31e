"""A gateway calls back: believe it or not, record what it says at most once, and write down what came.

The answer is success only when the payment is recorded, and stays success for every replay. `PaymentSucceeded` is sent
as a half message around the one transaction that records the payment, so that both happen or neither; whatever else
follows a payment follows that message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from common import sql
from payments.gateway import channels
from payments.gateway.contract import Callback, Claims, Notice, Refused, Trade, Verdict
from payments.models import Alarm, CallbackLog, Capture, NoticeSeen, Payment
from payments.services import alarms, capturing
from payments.services.capturing import Outcome

_COUNT_REFUSAL = sql.Statement(Path(__file__).with_name("count_refusal.sql"))

_LOGGED_BODY_CHARACTERS = 2048
#: What anybody who knows the address can cause. Each minute the first of each verdict are logged, the others counted.
_UNSIGNED = frozenset({Verdict.NOT_POST, Verdict.TOO_LARGE, Verdict.MALFORMED, Verdict.BAD_SIGNATURE})
LOGGED_PER_MINUTE = 60
#: A callback is signed when it is sent: one that is older, or from the future, is a recording.
_FRESH = timedelta(minutes=5)
_VERDICTS = {
    Outcome.PAID: Verdict.ACCEPTED,
    Outcome.LATE: Verdict.LATE_PAYMENT,
    Outcome.SECOND: Verdict.SECOND_PAYMENT,
    Outcome.KNOWN: Verdict.REPLAYED,
}


@dataclass
class _Received:
    """One callback as it came, and what it claims as far as it was read."""

    channel: str
    body: bytes
    now: datetime
    claims: Claims = field(default_factory=Claims)

    def log(self, verdict: Verdict) -> Verdict:
        if verdict in _UNSIGNED and self._count(verdict) > LOGGED_PER_MINUTE:
            return verdict
        CallbackLog.objects.create(
            received_at=self.now,
            channel=self.channel,
            verdict=verdict,
            order_no=_storable(self.claims.order_no[:64]),
            trade_no=_storable(self.claims.trade_no[:64]),
            notify_id=_storable(self.claims.notify_id[:64]),
            body=_storable(self.body.decode(errors="replace")[:_LOGGED_BODY_CHARACTERS]),
        )
        return verdict

    def _count(self, verdict: Verdict) -> int:
        [(count,)] = _COUNT_REFUSAL.run("payments", now=self.now, verdict=verdict.value)
        return int(count)


def receive(channel: str, callback: Callback, *, now: datetime) -> Verdict:
    """Record the callback and what it tells; the verdict is in the log when this returns.

    Raises: KeysMissing, or what the queue raises when the half message cannot be sent: nothing was recorded then, and
        the gateway calls again.
    """
    received = _Received(channel, callback.body, now)
    if callback.method != "POST":
        return received.log(Verdict.NOT_POST)
    try:
        told = received.claims = channels.of(channel).read(callback, now=now)
        return _record(told, received) if isinstance(told, Notice) else received.log(Verdict.IGNORED)
    except Refused as refusal:
        if refusal.claims != Claims():
            received.claims = refusal.claims
        return received.log(refusal.verdict)


def _record(told: Notice, received: _Received) -> Verdict:
    """Raises: Refused."""
    seen = NoticeSeen.objects.filter(notify_id=told.notify_id[:64], channel=received.channel).first()
    if seen is not None:
        if seen.trade_no != told.trade_no:
            raise Refused(Verdict.NOTICE_CHANGED)
        return received.log(Verdict.REPLAYED)
    trade = Trade(told.trade_no, told.amount_cents, told.paid_at, received.channel)
    payment = _payment_of(told, received)
    if abs(received.now - told.sent_at) > _FRESH and not _is_recorded(payment, trade):
        raise Refused(Verdict.STALE)

    def also(outcome: Outcome) -> None:
        NoticeSeen.objects.create(
            channel=received.channel,
            notify_id=told.notify_id[:64],
            trade_no=told.trade_no,
            recorded_at=received.now,
        )
        received.log(_VERDICTS[outcome])

    try:
        outcome = capturing.capture(payment, trade, now=received.now, also=also)
    except capturing.TradeOfAnotherOrder as error:
        raise Refused(Verdict.TRADE_OF_ANOTHER_ORDER) from error
    return received.log(Verdict.REPLAYED) if outcome is Outcome.KNOWN else _VERDICTS[outcome]


def _payment_of(told: Notice, received: _Received) -> Payment:
    """Raises: Refused: there is none, or not of this price."""
    payment = Payment.objects.filter(order_no=told.order_no).first()
    if payment is None:
        raise Refused(Verdict.UNKNOWN_ORDER)
    if told.currency != payment.currency:
        raise Refused(Verdict.WRONG_CURRENCY)
    if told.amount_cents != payment.amount_cents:
        alarms.sound(
            Alarm.Kind.PAID_AMOUNT_DIFFERS,
            channel=received.channel,
            subject=told.trade_no,
            order_no=told.order_no,
            sentence=f"a callback tells of {told.amount_cents} cents, the price is {payment.amount_cents}",
            now=received.now,
        )
        raise Refused(Verdict.WRONG_AMOUNT)
    return payment


def _is_recorded(payment: Payment, trade: Trade) -> bool:
    return Capture.objects.filter(payment=payment, trade_no=trade.trade_no, channel=trade.channel).exists()


def _storable(text: str) -> str:
    """PostgreSQL's text holds every character but NUL."""
    return text.replace("\0", "�")
