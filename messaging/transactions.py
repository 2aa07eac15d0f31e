"""Events born in a request: said if, and only if, the request's work commits. No outbox table, no poller.

`send_in_transaction` first gives the broker a half message, which no consumer sees; then it does the work and writes
the outcome row in one transaction; then it tells the broker to show the message, or to drop it. When that word is lost
(the process dies, the broker restarts), the broker asks back, and the outcome row answers:

    COMMITTED row                      -> COMMIT
    ROLLED_BACK row                    -> ROLLBACK
    no row, younger than the deadline  -> UNKNOWN: the work may be running; the broker asks again
    no row, older                      -> the check-back inserts ROLLED_BACK itself, and only then answers ROLLBACK

The last line is what keeps slow work from losing its event: work and check-back insert the same unique key, so work
that would commit after the answer cannot (it fails with `Overtaken`), and a check-back that meets unfinished work waits
a moment for it and then says UNKNOWN. Unknown is never COMMIT.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from typing import Final, Protocol, TypeVar

from django.conf import settings
from django.db import OperationalError, connections, transaction

from common.errors import TryAgain
from messaging.database import database_access
from messaging.events import Event
from messaging.models import TransactionOutcome
from mq.client.results import SendResult, SendStatus, TransactionState
from mq.client.sync import SyncTransactionProducer
from mq.errors import MQError
from mq.message import Message, ReceivedMessage

logger = logging.getLogger(__name__)

#: Names the outcome row in the half message.
KEY_PROPERTY: Final = "transactionKey"
#: Work that has not committed by then has failed, or fails when it tries to.
DEADLINE: Final = timedelta(seconds=15)
#: How long a check-back waits for work that is about to commit.
_LOCK_TIMEOUT: Final = "1s"

_T = TypeVar("_T")
State = TransactionOutcome.State


class QueueUnavailable(TryAgain):
    """The broker did not take the half message: nothing was done, the same request may be sent again."""


class Overtaken(TryAgain):
    """The work took so long that its event was given up before it could commit: nothing was done."""


class HalfSender(Protocol):
    """What is needed of the client's synchronous transaction producer."""

    def send_half(self, message: Message) -> SendResult: ...

    def end(self, half: SendResult, state: TransactionState) -> None: ...


def send_in_transaction(event: Event, work: Callable[[], _T], *, using: str, sender: HalfSender | None = None) -> _T:
    """Do `work` in a transaction of the database `using` and send `event` if it commits; returns what `work` returns.

    Must not be called inside a transaction: the event would be shown before the outer one commits.

    Raises: QueueUnavailable, Overtaken, and whatever `work` raises; nothing was done then, and the event is dropped.
        An error of the commit itself leaves both to the outcome row: whichever way it went, the event follows.
    """
    sender = sender or _sender(using)
    key = secrets.token_hex(16)
    half = _send_half(sender, event.to_message(properties={KEY_PROPERTY: key}))
    is_done = False
    try:
        with transaction.atomic(using=using, durable=True):
            if not _decide(using, key, State.COMMITTED):
                raise Overtaken(f"{event.tag} {event.key} was given up after {DEADLINE.total_seconds():.0f} s")
            result = work()
            is_done = True
    except BaseException:
        if not is_done:  # Else the commit failed, and only the database knows whether it did: the check-back asks it.
            _end(sender, half, TransactionState.ROLLBACK)
        raise
    _end(sender, half, TransactionState.COMMIT)
    return result


def check_back(message: ReceivedMessage, *, using: str) -> TransactionState:
    """The answer to the broker's question what became of a half message."""
    key = message.properties.get(KEY_PROPERTY)
    if key is None:
        logger.error("half message %s carries no %s: not ours, left unknown", message.message_id, KEY_PROPERTY)
        return TransactionState.UNKNOWN
    # Since it was born, not stored: a broker that asks stores the message anew each time. And in real time, as the work
    # it waits for is; the demo may move the shop's clock, but not the moment at which the producer stamped the message.
    age_ms = time.time() * 1000 - message.born_timestamp_ms
    with database_access():
        state = _outcome(using, key)
        if state is None and age_ms > DEADLINE.total_seconds() * 1000:
            state = _give_up(using, key)
    logger.info("check-back for %s %s: %s", message.tag, message.keys, state or "unknown yet")
    if state is None:
        return TransactionState.UNKNOWN
    return TransactionState.COMMIT if state == State.COMMITTED else TransactionState.ROLLBACK


def producer_group(service: str) -> str:
    """The group whose members the broker asks about a service's half messages."""
    return f"{service}-transactions"


@cache
def _sender(service: str) -> HalfSender:
    check = partial(check_back, using=service)
    return SyncTransactionProducer(producer_group(service), check=check, namesrv=settings.MQ_NAMESRV_ADDR)


def _send_half(sender: HalfSender, message: Message) -> SendResult:
    try:
        half = sender.send_half(message)
    except MQError as error:
        raise QueueUnavailable(f"the queue did not take {message.tag}: {error}") from error
    if half.status is not SendStatus.SEND_OK:
        _end(sender, half, TransactionState.ROLLBACK)
        raise QueueUnavailable(f"the queue took {message.tag} without keeping it safe: {half.status.name}")
    return half


def _end(sender: HalfSender, half: SendResult, state: TransactionState) -> None:
    """Tell the broker. It must not fail the request, whose work is done or undone by now: the broker asks back."""
    try:
        sender.end(half, state)
    except MQError as error:
        logger.warning("%s of %s is left to the check-back: %s", state.name, half.message_id, error)


def _outcome(using: str, key: str) -> str | None:
    return TransactionOutcome.objects.using(using).filter(key=key).values_list("state", flat=True).first()


def _decide(using: str, key: str, state: State) -> bool:
    """Insert the outcome if there is none; says whether it did. Waits for a rival transaction that is inserting it."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "INSERT INTO messaging_transactionoutcome (key, state) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [key, state.value],
        )
        return bool(cursor.rowcount == 1)


def _give_up(using: str, key: str) -> str | None:
    try:
        with transaction.atomic(using=using):
            with connections[using].cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            _decide(using, key, State.ROLLED_BACK)
    except OperationalError as error:
        logger.info("the work of %s is still running: %s", key, error)
        return None
    return _outcome(using, key)
