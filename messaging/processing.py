"""What a group does with the messages it is given: the database half, in a thread, without the sending.

Failures are of two kinds. When the database cannot be reached, no message is to blame: the failure is handed up and the
same messages come again later. When a handler raises, its batch is tried again one by one, each message a few times (it
may have lost a race), and what still fails is parked, so that one bad order stops neither its batch nor its queue.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from django.db import InterfaceError, OperationalError

from messaging import deliveries, inbox, parking
from messaging.database import is_unreachable
from messaging.deliveries import Delivery
from messaging.models import ParkedMessage
from messaging.outgoing import Answer
from messaging.registry import Registry
from mq.message import ReceivedMessage

logger = logging.getLogger(__name__)

#: How often a message is tried at once before it is parked.
TRIES: Final = 3


class Processed(NamedTuple):
    """The answers to send, and what kept the rest from being applied (None: everything is done)."""

    answers: list[Answer]
    failure: Exception | None


def process(messages: Sequence[ReceivedMessage], *, group: str, registry: Registry) -> Processed:
    """Let every message have its effect, or be parked."""
    answers: list[Answer] = []
    try:
        for run in deliveries.runs(deliveries.of(messages, group=group, registry=registry)):
            answers += _apply(run)
    except (OperationalError, InterfaceError) as error:
        return Processed(answers, error)
    return Processed(answers, None)


def retry_parked(
    service: str, group: str, sharding_key: str, *, registry: Registry
) -> tuple[ParkedMessage, list[Answer]] | None:
    """Try the first message parked under a key: it and its answers, or None when nothing is left or it failed again.

    It stays parked until its answers are sent (`parking.take_out`): a crash in between makes it be tried again.
    """
    parked = parking.first_of(service, group, sharding_key)
    if parked is None:
        return None
    try:
        return parked, inbox.apply([_unparked(parked, registry)])
    except Exception as error:  # Whatever the handler raised: noted in the row, where `manage.py parked` shows it.
        if is_unreachable(error):
            raise
        logger.warning("parked %s of group %s failed again: %r", parked.key, group, error)
        parking.note_failure(parked, reason=repr(error))
        return None


def _apply(run: list[Delivery]) -> list[Answer]:
    consumer = run[0].consumer
    if not parking.waiting(consumer.service, consumer.group, [delivery.sharding_key for delivery in run]):
        try:
            return inbox.apply(run)
        except Exception as error:  # Told apart and dealt with in _apply_alone, where one message is left to blame.
            if is_unreachable(error):
                raise
            logger.info("group %s: %d x %s once more, one by one: %r", consumer.group, len(run), run[0].tag, error)
    return [answer for delivery in run for answer in _apply_alone(delivery)]


def _apply_alone(delivery: Delivery) -> list[Answer]:
    if parking.park_behind(delivery):
        logger.warning("%s is parked behind an earlier message of %s", delivery.key, delivery.sharding_key)
        return []
    for remaining in reversed(range(TRIES)):
        try:
            return inbox.apply([delivery])
        except Exception as error:  # A handler may raise anything; what it was is logged and kept in the parked row.
            if is_unreachable(error):
                raise
            if remaining == 0:
                logger.exception("%s of group %s is parked", delivery.key, delivery.consumer.group)
                parking.park(delivery, reason=repr(error))
    return []


def _unparked(parked: ParkedMessage, registry: Registry) -> Delivery:
    consumer = registry.find(parked.group, parked.topic, parked.tag)
    if consumer is None:
        raise LookupError(f"group {parked.group} no longer has a handler for {parked.topic}/{parked.tag}")
    return Delivery(consumer, parked.tag, parked.key, parked.sharding_key, parked.message_id, bytes(parked.body))
