"""From a `Message` to what a send request carries: checked, named, compressed, its properties as text.

Source: RocketMQ Validators.checkMessage, DefaultMQProducerImpl.sendKernelImpl; remoting sheet 4.1, 4.3 and 4.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from mq.client.namespaces import Namespace
from mq.client.settings import ClientSettings
from mq.errors import InvalidMessage, MessageTooLarge
from mq.message import Message, batch, properties
from mq.message.batch import BatchEntry
from mq.message.compression import compress
from mq.message.ids import UniqueIds
from mq.message.message import RETRY_PREFIX, check_topic

#: What Java's client refuses to send, before compression; the broker's limit is on what arrives.
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
#: Properties of fewer characters than this cannot exceed the limit in bytes, so they need not be counted.
_SURELY_SHORT = properties.MAX_PROPERTIES_BYTES // 4


class Outgoing(msgspec.Struct, gc=False):
    """One message (or batch), ready to go to any queue of its topic as often as it takes: its id stays the same."""

    topic: str
    body: bytes
    properties_text: str
    message_id: str
    sys_flag: int = 0
    flag: int = 0
    is_batch: bool = False
    is_reply: bool = False
    sharding_key: str | None = None
    #: Only for what goes to a retry topic: how often it was consumed, and how often it may be.
    reconsume_times: int = 0
    max_reconsume_times: int | None = None


class Packer:
    """Makes the messages of one client ready, by its settings."""

    def __init__(self, unique_ids: UniqueIds, settings: ClientSettings) -> None:
        self._unique_ids = unique_ids
        self._settings = settings
        self._namespace = Namespace(settings.namespace)

    def pack(self, message: Message, extra: dict[str, str] | None = None) -> Outgoing:
        """One message; `extra` are properties that only the client itself may set.

        Raises: InvalidMessage: its topic, a property, or no body.  MessageTooLarge: body or properties.
        """
        message_id, named = self._named(message)
        if extra:
            named.update(extra)
        body, flags = message.body, 0
        if len(body) >= self._settings.compress_from_bytes:
            body, flags = self.compress(body)
        return Outgoing(
            self._namespace.wrap(message.topic),
            body,
            properties_text(named),
            message_id,
            flags,
            message.flag,
            sharding_key=message.sharding_key,
        )

    def pack_batches(self, messages: Sequence[Message]) -> list[Outgoing]:
        """The messages as few batches, in their order, each small enough for one request; never compressed.

        Raises: InvalidMessage: no message, several topics or sharding keys, a retry topic, or a delayed message.
            MessageTooLarge: as `pack`.
        """
        if not messages:
            raise InvalidMessage("a batch without messages")
        topic, sharding_key = messages[0].topic, messages[0].sharding_key
        if topic.startswith(RETRY_PREFIX):
            raise InvalidMessage(f"a batch cannot go to the retry topic {topic!r}")
        entries = []
        for message in messages:
            if message.topic != topic or message.sharding_key != sharding_key:
                raise InvalidMessage("a batch goes to one queue: all its messages have one topic and one sharding key")
            if message.delay_level or message.deliver_at_ms is not None:
                raise InvalidMessage("a batch cannot be delayed: send its messages one by one")
            message_id, named = self._named(message)
            entries.append((message_id, BatchEntry(message.flag, message.body, properties_text(named).encode())))
        return [
            Outgoing(
                self._namespace.wrap(topic),
                batch.encode(entry for _, entry in part),
                "",
                ",".join(message_id for message_id, _ in part),
                is_batch=True,
                sharding_key=sharding_key,
            )
            for part in _split(entries)
        ]

    def compress(self, body: bytes) -> tuple[bytes, int]:
        """The body and its sysFlag; what does not get smaller stays as it is."""
        return compress(body, self._settings.compression, self._settings.compression_level)

    def _named(self, message: Message) -> tuple[str, dict[str, str]]:
        check_topic(message.topic)
        if not message.body:
            raise InvalidMessage(f"a message for topic {message.topic!r} has no body: RocketMQ refuses empty ones")
        if len(message.body) > MAX_BODY_BYTES:
            raise MessageTooLarge(f"a body of {len(message.body)} bytes: {MAX_BODY_BYTES} at most")
        named = message.all_properties()
        message_id = named[properties.UNIQ_KEY] = self._unique_ids.next()
        if self._namespace.name:
            named[properties.INSTANCE_ID] = self._namespace.name
        return message_id, named


def properties_text(named: dict[str, str]) -> str:
    """Raises: MessageTooLarge: more than 32,767 bytes."""
    text = "".join([f"{name}\x01{value}\x02" for name, value in named.items()])
    if len(text) > _SURELY_SHORT and len(text.encode()) > properties.MAX_PROPERTIES_BYTES:
        raise MessageTooLarge(
            f"properties take {len(text.encode())} bytes as text: {properties.MAX_PROPERTIES_BYTES} at most"
        )
    return text


def _split(entries: Sequence[tuple[str, BatchEntry]]) -> Iterator[list[tuple[str, BatchEntry]]]:
    part: list[tuple[str, BatchEntry]] = []
    part_bytes = 0
    for message_id, entry in entries:
        entry_bytes = batch.MIN_BYTES + len(entry.body) + len(entry.properties_text)
        if entry_bytes > MAX_BODY_BYTES:
            raise MessageTooLarge(
                f"message {message_id} takes {entry_bytes} bytes in a batch: {MAX_BODY_BYTES} at most"
            )
        if part_bytes + entry_bytes > MAX_BODY_BYTES:
            yield part
            part, part_bytes = [], 0
        part.append((message_id, entry))
        part_bytes += entry_bytes
    yield part
