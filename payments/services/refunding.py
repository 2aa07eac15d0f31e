"""Money goes back: a refund is a row with a number first, a request to the gateway second, and a fact last.

The number is the one of the request, or derived from the cause, so every attempt, even of a process that lost its
memory, uses the same one; at the gateway, the same number is the same refund. While nobody knows how the gateway
answered, the refund stays PENDING and is asked for again: after 1, 2, 4, ... seconds, later every ten minutes, and
after some hours only when a person says so.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from django.db import transaction
from django.db.models import F

from messaging.events import Delayed, Event, Outgoing
from messaging.transactions import send_in_transaction
from orders.messages import RefundLine, RefundRequested
from payments.gateway import channels
from payments.gateway.contract import GatewayRefused, GatewayUnavailable, RefundOrder
from payments.messages import ExecuteRefund, RefundFailed, RefundSucceeded
from payments.models import Alarm, Capture, Refund
from payments.services import alarms

_LOG = logging.getLogger(__name__)
_WAIT_MAX = timedelta(minutes=10)
#: From here on (about half an hour of a gateway that does not answer) an alarm stands.
_ALARM_ATTEMPT = 12
#: After so many attempts (about five hours) the command becomes a dead letter: it is parked, and waits for a person.
ATTEMPTS_MAX = 40
#: A refund whose next attempt is overdue by this much has lost its command: the reconciler asks.
LOST_AFTER = timedelta(minutes=5)
#: What every gateway takes for a number.
_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_REASON_LENGTH_MAX = 64

#: What is known after asking: when it was done, not known, or the reason of a refusal. None: there was nothing to ask.
Answer = datetime | Literal["UNKNOWN"] | GatewayRefused | None


class GatewaySilent(Exception):
    """The gateway has not answered for hours. The refund stays pending; asking again is always safe."""


class _Settled(Exception):
    """Somebody else has settled the refund meanwhile."""


class RefundsExceedCapture(Exception):
    """The refunds of a capture would be more than the capture."""


def refund_number(order_no: str, refund_key: str) -> str:
    """The number of a refund that payments decides on by itself: the same cause is the same refund."""
    return "R" + hashlib.sha256(f"{order_no}|{refund_key}".encode()).hexdigest()[:24].upper()


def give_back_whole(capture: Capture, *, refund_key: str, now: datetime) -> Refund:
    """Write down the refund of money that no order wants (see `payments.messages.LATE`). Call inside a transaction."""
    number = refund_number(capture.payment.order_no, refund_key)
    reason = refund_key.partition(":")[0]
    return _reserve(capture, number, refund_key, capture.amount_cents, reason, (), now)


def request_refund(request: RefundRequested, *, now: datetime) -> Event:
    """Give back part of what paid the order: the command that executes it, or why it cannot be."""
    capture = (
        Capture.objects.select_for_update(of=("self",))
        .filter(payment__order_no=request.order_no, is_for_order=True)
        .first()
    )
    failure = _reason_against(request, capture)
    if not failure:
        assert capture is not None
        try:
            _reserve(
                capture,
                request.refund_no,
                request.refund_no,
                request.amount_cents,
                request.reason,
                request.lines,
                now,
            )
        except RefundsExceedCapture:
            failure = "MORE_THAN_CAPTURED"
    if not failure:
        return ExecuteRefund(order_no=request.order_no, version=request.version, refund_no=request.refund_no)
    _LOG.error("refund %s of order %s cannot be: %s", request.refund_no, request.order_no, failure)
    return RefundFailed(
        order_no=request.order_no,
        version=request.version,
        refund_no=request.refund_no,
        refund_key=request.refund_no,
        amount_cents=request.amount_cents,
        reason=failure,
    )


def _reason_against(request: RefundRequested, capture: Capture | None) -> str:
    if capture is None:
        return "NOT_CAPTURED"
    if request.amount_cents <= 0 or not _NUMBER.fullmatch(request.refund_no):
        return "MALFORMED"
    if sum(line.amount_cents for line in request.lines) > request.amount_cents:
        return "LINES_EXCEED_AMOUNT"
    known = Refund.objects.filter(refund_no=request.refund_no).first()
    if known is not None and (known.capture_id, known.amount_cents) != (capture.pk, request.amount_cents):
        return "NUMBER_USED"
    return ""


def _reserve(
    capture: Capture,
    refund_no: str,
    refund_key: str,
    amount_cents: int,
    reason: str,
    lines: Sequence[RefundLine],
    now: datetime,
) -> Refund:
    """Write down a refund of a capture, or find the one of this number.

    Raises: RefundsExceedCapture.
    """
    found = Refund.objects.filter(refund_no=refund_no).first()
    if found is not None:
        return found
    # The guard of every cap: it compares and sets in one statement, so two refunds never count the same cents as free.
    reserved = Capture.objects.filter(
        pk=capture.pk, refund_reserved_cents__lte=F("amount_cents") - amount_cents
    ).update(refund_reserved_cents=F("refund_reserved_cents") + amount_cents)
    if not reserved:
        raise RefundsExceedCapture(refund_no)
    return Refund.objects.create(
        capture=capture,
        refund_no=refund_no,
        refund_key=refund_key,
        amount_cents=amount_cents,
        reason=reason[:_REASON_LENGTH_MAX],
        lines=msgspec.to_builtins(lines),
        created_at=now,
        ask_at=now + LOST_AFTER,
    )


def ask_gateway(*, refund_no: str, now: datetime) -> Answer:
    """Ask the gateway to give a pending refund back. Outside of any transaction; any number of times."""
    refund = Refund.objects.select_related("capture__payment").get(refund_no=refund_no)
    if refund.status != Refund.Status.PENDING:
        return None
    capture = refund.capture
    order = RefundOrder(
        order_no=capture.payment.order_no,
        trade_no=capture.trade_no,
        refund_no=refund.refund_no,
        amount_cents=refund.amount_cents,
        captured_cents=capture.amount_cents,
        reason=refund.reason,
    )
    try:
        return channels.of(capture.channel).refund(order, now=now)
    except GatewayRefused as refusal:
        return refusal
    except GatewayUnavailable as error:
        _LOG.warning("refund %s: %s", refund_no, error)
        return "UNKNOWN"


def settle(command: ExecuteRefund, answer: Answer, *, now: datetime) -> list[Outgoing]:
    """Write down how it went and say so; an unknown answer makes the command come back later.

    Raises: GatewaySilent: it came back `ATTEMPTS_MAX` times. The message is parked then (`manage.py parked`).
    """
    with transaction.atomic(using="payments", savepoint=False):
        refund = _locked(command.refund_no)
        if answer == "UNKNOWN" and refund.status == Refund.Status.PENDING:
            return [_again(refund, command, now)]
        event = _end(refund, answer, version=command.version, now=now)
        return [] if event is None else [event]


def settle_aside(refund_no: str, answer: Answer, *, now: datetime) -> bool:
    """The same for who asked without a command: a transactional send; whether the refund is settled by it.

    Raises: what the queue raises when it does not take the message: nothing was written then.
    """
    refund = Refund.objects.select_related("capture__payment").get(refund_no=refund_no)
    version = refund.capture.payment.order_version
    event = _foresee(refund, answer, version=version)
    if event is None:
        return False

    def work() -> None:
        if _end(_locked(refund_no), answer, version=version, now=now) is None:
            raise _Settled

    try:
        send_in_transaction(event, work, using="payments")
    except _Settled:  # by the command, which was only late
        return False
    return True


def _locked(refund_no: str) -> Refund:
    rows = Refund.objects.select_for_update(of=("self",)).select_related("capture__payment")
    return rows.get(refund_no=refund_no)


def _end(refund: Refund, answer: Answer, *, version: int, now: datetime) -> Event | None:
    """Write down how a refund ended; None when there is nothing to write. The caller holds its row lock."""
    event = _foresee(refund, answer, version=version)
    if event is None:
        return None
    refund.attempt_count += 1
    refund.settled_at, refund.ask_at = now, None
    alarm: dict[str, Any] = {"channel": refund.capture.channel, "subject": refund.refund_no, "now": now}
    alarms.settle_by_itself(Alarm.Kind.REFUND_WITHOUT_ANSWER, **alarm)
    if isinstance(answer, GatewayRefused):
        # The gateway will never do it: what was reserved is free again, and a person has to look.
        refund.status, refund.failure = Refund.Status.FAILED, str(answer)[:200]
        Capture.objects.filter(pk=refund.capture_id).update(
            refund_reserved_cents=F("refund_reserved_cents") - refund.amount_cents
        )
        order_no = refund.capture.payment.order_no
        alarms.sound(Alarm.Kind.REFUND_REFUSED, **alarm, order_no=order_no, sentence=str(answer))
    else:
        assert isinstance(answer, datetime)
        refund.status, refund.refunded_at = Refund.Status.SUCCEEDED, answer
    refund.save(update_fields=["status", "settled_at", "ask_at", "failure", "refunded_at", "attempt_count"])
    return event


def _foresee(refund: Refund, answer: Answer, *, version: int) -> Event | None:
    """What an answer lets us say of a refund; None when it says nothing, or nothing new."""
    if refund.status != Refund.Status.PENDING or answer is None or answer == "UNKNOWN":
        return None
    facts: dict[str, Any] = {
        "order_no": refund.capture.payment.order_no,
        "version": version,
        "refund_no": refund.refund_no,
        "refund_key": refund.refund_key,
        "amount_cents": refund.amount_cents,
    }
    if isinstance(answer, GatewayRefused):
        return RefundFailed(**facts, reason=answer.sub_code)
    return RefundSucceeded(**facts)


def _again(refund: Refund, command: ExecuteRefund, now: datetime) -> Delayed:
    """Raises: GatewaySilent."""
    if command.attempt >= _ALARM_ATTEMPT:
        alarms.sound(
            Alarm.Kind.REFUND_WITHOUT_ANSWER,
            channel=refund.capture.channel,
            subject=refund.refund_no,
            order_no=command.order_no,
            sentence=f"no answer from the gateway after {command.attempt} attempts",
            now=now,
        )
    if command.attempt >= ATTEMPTS_MAX:
        raise GatewaySilent(f"refund {command.refund_no}: no answer after {command.attempt} attempts")
    at = retry_at(command.attempt, now)
    refund.attempt_count += 1
    refund.ask_at = at + LOST_AFTER
    refund.save(update_fields=["attempt_count", "ask_at"])
    later = ExecuteRefund(
        order_no=command.order_no,
        version=command.version,
        refund_no=command.refund_no,
        attempt=command.attempt + 1,
    )
    return Delayed(later, at)


def retry_at(attempt: int, now: datetime) -> datetime:
    """When to ask a gateway again that left its `attempt`-th request (counted from 1) without an answer."""
    return now + min(timedelta(seconds=2 ** min(attempt - 1, 16)), _WAIT_MAX)
