"""What a group was given: each message with the consumer that handles it, and which of them may share a transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from messaging.events import Event
from messaging.registry import Consumer, Registry
from mq.message import ReceivedMessage

#: Longest key that is kept as it is. A foreign producer may send keys of 32 KiB; the columns and indexes take 255.
_MAX_KEY_LENGTH: Final = 200
_MAX_ID_LENGTH: Final = 64


@dataclass(frozen=True, eq=False)
class Delivery:
    """One message for one consumer. Not decoded yet: a message nobody can read must not fail its neighbors.

    `key` is the inbox key: tag and business key. A message that carries no key, or says not what it is about
    (`sharding_key`), stands for itself.
    """

    consumer: Consumer
    tag: str
    key: str
    sharding_key: str
    message_id: str
    body: bytes

    @classmethod
    def of(cls, message: ReceivedMessage, consumer: Consumer) -> Delivery:
        tag = message.tag or ""
        message_id = _bounded(message.message_id, _MAX_ID_LENGTH)
        key = _bounded(f"{tag}:{message.keys[0] if message.keys else message_id}", _MAX_KEY_LENGTH)
        sharding_key = _bounded(message.sharding_key or key, _MAX_KEY_LENGTH)
        return cls(consumer, tag, key, sharding_key, message_id, message.body)

    @cached_property
    def event(self) -> Event:
        """Raises: UnreadableEvent."""
        return self.consumer.by_tag[self.tag].from_body(self.body)


def of(messages: Iterable[ReceivedMessage], *, group: str, registry: Registry) -> list[Delivery]:
    """The messages that somebody in the group wants. The broker filters by a hash of the tag, so strangers slip in."""
    found = ((registry.find(group, message.topic, message.tag), message) for message in messages)
    return [Delivery.of(message, consumer) for consumer, message in found if consumer is not None]


def runs(deliveries: Iterable[Delivery]) -> list[list[Delivery]]:
    """Group deliveries into runs, each one transaction; the runs are applied in order.

    A run has one consumer, at most `batch` deliveries, at most one per sharding key, which keeps set-based handlers
    simple, and at most one per inbox key: a copy that lost its sharding key is still the same event, and only the
    inbox of a later run can tell. A delivery may join an earlier run of its consumer as long as it overtakes nothing
    with its sharding key.
    """
    result: list[list[Delivery]] = []
    last_run_of_sharding_key: dict[str, int] = {}
    last_run_of_key: dict[str, int] = {}
    last_run_of_consumer: dict[Consumer, int] = {}
    for delivery in deliveries:
        consumer, key, sharding_key = delivery.consumer, delivery.key, delivery.sharding_key
        index = last_run_of_consumer.get(consumer, -1)
        taken = max(last_run_of_sharding_key.get(sharding_key, -1), last_run_of_key.get(key, -1))
        if index <= taken or len(result[index]) >= (consumer.batch or 1):
            index = len(result)
            result.append([])
            last_run_of_consumer[consumer] = index
        result[index].append(delivery)
        last_run_of_sharding_key[sharding_key] = last_run_of_key[key] = index
    return result


def _bounded(text: str, max_length: int) -> str:
    """The text as PostgreSQL can hold and index it: a digest stands for one that is too long or holds a zero."""
    if len(text) <= max_length and "\0" not in text:
        return text
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
