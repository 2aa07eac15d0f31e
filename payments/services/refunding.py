"""Money goes back: a refund is a row with a number first, a request to the gateway second, and a fact last.

The number is derived from what asks for the refund, so every attempt, even of a process that lost its memory, uses the
same one; at the gateway, the same number is the same refund. While nobody knows how the gateway answered, the refund
stays PENDING and is asked for again: after 1, 2, 4, ... seconds, later every ten minutes, without an end.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from typing import Literal

from django.db import transaction
from django.db.models import F

from messaging.events import Delayed, Event, Outgoing
from payments.gateway import client
from payments.gateway.client import GatewayRefused, GatewayUnavailable
from payments.messages import ExecuteRefund, RefundFailed, RefundSucceeded
from payments.models import Capture, Refund

_LOG = logging.getLogger(__name__)
_WAIT_MAX = timedelta(minutes=10)
#: From here on (about half an hour of a gateway that does not answer) each attempt is reported as an error.
_ALARM_ATTEMPT = 12

#: What is known after asking: done, not known, or the reason of a refusal. None: there was nothing to ask.
Answer = Literal["DONE", "UNKNOWN"] | GatewayRefused | None


class RefundsExceedCapture(Exception):
    """The refunds of a capture would be more than the capture."""


def refund_number(order_no: str, refund_key: str) -> str:
    return "R" + hashlib.sha256(f"{order_no}|{refund_key}".encode()).hexdigest()[:24].upper()


def reserve(capture: Capture, *, refund_key: str, amount_cents: int, reason: str, now: datetime) -> Refund:
    """Write down a refund of a capture, or find the one of this key. Call inside a transaction.

    Raises: RefundsExceedCapture.
    """
    found = Refund.objects.filter(capture=capture, refund_key=refund_key).first()
    if found is not None:
        return found
    reserved = Capture.objects.filter(
        pk=capture.pk, refund_reserved_cents__lte=F("amount_cents") - amount_cents
    ).update(refund_reserved_cents=F("refund_reserved_cents") + amount_cents)
    if not reserved:
        raise RefundsExceedCapture(refund_key)
    return Refund.objects.create(
        capture=capture,
        refund_no=refund_number(capture.payment.order_no, refund_key),
        refund_key=refund_key,
        amount_cents=amount_cents,
        reason=reason,
        created_at=now,
    )


def request_refund(
    *, order_no: str, version: int, refund_key: str, amount_cents: int, reason: str, now: datetime
) -> Event:
    """Give back part of what paid the order: the command that executes it, or why it cannot be."""
    capture = (
        Capture.objects.select_for_update(of=("self",)).filter(payment__order_no=order_no, is_for_order=True).first()
    )
    number = refund_number(order_no, refund_key)
    failure = ""
    if capture is None:
        failure = "NOT_CAPTURED"
    else:
        try:
            reserve(capture, refund_key=refund_key, amount_cents=amount_cents, reason=reason, now=now)
        except RefundsExceedCapture:
            failure = "MORE_THAN_CAPTURED"
    if not failure:
        return ExecuteRefund(order_no=order_no, version=version, refund_no=number)
    return RefundFailed(
        order_no=order_no,
        version=version,
        refund_no=number,
        refund_key=refund_key,
        amount_cents=amount_cents,
        reason=failure,
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
