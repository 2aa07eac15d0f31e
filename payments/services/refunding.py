"""Money goes back: a refund is a row with a number first, a request to the gateway second, and a fact last.

The number is the one of the request, or derived from the cause, so every attempt, even of a process that lost its
memory, uses the same one; at the gateway, the same number is the same refund. While nobody knows how the gateway
answered, the refund stays PENDING and is asked for again: after 1, 2, 4, ... seconds, later every ten minutes.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from django.db import transaction
from django.db.models import F

from messaging.events import Delayed, Event, Outgoing
from orders.messages import RefundLine, RefundRequested
from payments.gateway import client
from payments.gateway.client import GatewayRefused, GatewayUnavailable
from payments.messages import ExecuteRefund, RefundFailed, RefundSucceeded
from payments.models import Capture, Refund

_LOG = logging.getLogger(__name__)
_WAIT_MAX = timedelta(minutes=10)
#: From here on (about half an hour of a gateway that does not answer) each attempt is reported as an error.
_ALARM_ATTEMPT = 12
#: What every gateway takes for a number.
_NUMBER = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)
_REASON_LENGTH_MAX = 64

#: What the gateway and the table take of a buyer's words.
_REASON_LENGTH = 64

#: What is known after asking: done, not known, or the reason of a refusal. None: there was nothing to ask.
Answer = Literal["DONE", "UNKNOWN"] | GatewayRefused | None


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

    Without a number from whoever asks for it, it gets one that is derived from order and key.

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
    )


def ask_gateway(*, refund_no: str, now: datetime) -> Answer:
    """Ask the gateway to give a pending refund back. Outside of any transaction; any number of times."""
    refund = Refund.objects.select_related("capture__payment").get(refund_no=refund_no)
    if refund.status != Refund.Status.PENDING:
        return None
    try:
        client.refund(
            order_no=refund.capture.payment.order_no,
            trade_no=refund.capture.trade_no,
            refund_no=refund.refund_no,
            amount_cents=refund.amount_cents,
            reason=refund.reason,
            now=now,
        )
    except GatewayRefused as refusal:
        return refusal
    except GatewayUnavailable as error:
        _LOG.warning("refund %s: %s", refund_no, error)
        return "UNKNOWN"
    return "DONE"


def settle(command: ExecuteRefund, answer: Answer, *, now: datetime) -> list[Outgoing]:
    """Write down how it went and say so; an unknown answer makes the command come back later."""
    with transaction.atomic(using="payments"):
        refund = (
            Refund.objects.select_for_update(of=("self",)).select_related("capture").get(refund_no=command.refund_no)
        )
        if refund.status != Refund.Status.PENDING or answer is None:
            return []
        refund.attempt_count += 1
        if answer == "DONE":
            return [_succeed(refund, command, now)]
        if isinstance(answer, GatewayRefused):
            return [_fail(refund, command, answer, now)]
        refund.save(update_fields=["attempt_count"])
        return [_again(command, now)]


def _succeed(refund: Refund, command: ExecuteRefund, now: datetime) -> Event:
    refund.status, refund.settled_at = Refund.Status.SUCCEEDED, now
    refund.save(update_fields=["status", "settled_at", "attempt_count"])
    return RefundSucceeded(
        order_no=command.order_no,
        version=command.version,
        refund_no=refund.refund_no,
        refund_key=refund.refund_key,
        amount_cents=refund.amount_cents,
    )


def _fail(refund: Refund, command: ExecuteRefund, refusal: GatewayRefused, now: datetime) -> Event:
    """The gateway will never do it: what was reserved is free again, and a person has to look."""
    _LOG.error("refund %s of order %s is refused: %s", refund.refund_no, command.order_no, refusal)
    refund.status, refund.settled_at, refund.failure = Refund.Status.FAILED, now, str(refusal)[:200]
    refund.save(update_fields=["status", "settled_at", "failure", "attempt_count"])
    Capture.objects.filter(pk=refund.capture_id).update(
        refund_reserved_cents=F("refund_reserved_cents") - refund.amount_cents
    )
    return RefundFailed(
        order_no=command.order_no,
        version=command.version,
        refund_no=refund.refund_no,
        refund_key=refund.refund_key,
        amount_cents=refund.amount_cents,
        reason=refusal.sub_code,
    )


def _again(command: ExecuteRefund, now: datetime) -> Delayed:
    if command.attempt >= _ALARM_ATTEMPT:
        _LOG.error("refund %s: no answer from the gateway after %d attempts", command.refund_no, command.attempt)
    later = ExecuteRefund(
        order_no=command.order_no,
        version=command.version,
        refund_no=command.refund_no,
        attempt=command.attempt + 1,
    )
    return Delayed(later, retry_at(command.attempt, now))


def retry_at(attempt: int, now: datetime) -> datetime:
    """When to ask a gateway again that left its `attempt`-th request (counted from 1) without an answer."""
    return now + min(timedelta(seconds=2 ** min(attempt - 1, 16)), _WAIT_MAX)
