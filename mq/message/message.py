"""Messages as people write and read them: `Message` goes in, `ReceivedMessage` comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from mq.errors import InvalidMessage
from mq.message import ids
from mq.message import properties as names
from mq.message.ids import Host

#: Characters of topics and groups. Source: RocketMQ TopicValidator.
_LEGAL_NAME: Final = re.compile(r"[%|a-zA-Z0-9_-]+\Z")
MAX_TOPIC_LENGTH: Final = 127
MAX_GROUP_LENGTH: Final = 120
RETRY_PREFIX: Final = "%RETRY%"
DLQ_PREFIX: Final = "%DLQ%"


class MessageQueue(NamedTuple):
    """One queue of a topic on one broker; sorts as RocketMQ's does (topic, broker name, queue id)."""

    topic: str
    broker_name: str
    queue_id: int


@dataclass(slots=True)
class Message:
    """What a producer sends.

    Units: `deliver_at_ms` epoch milliseconds (at most 3 days ahead); `delay_level` 1 to 18, 0 for none.
    """

    topic: str
    body: bytes
    tag: str | None = None
    keys: tuple[str, ...] = ()
    sharding_key: str | None = None
    delay_level: int = 0
    deliver_at_ms: int | None = None
    flag: int = 0
    properties: dict[str, str] = field(default_factory=dict)

    def all_properties(self) -> dict[str, str]:
        """User properties plus the ones that the fields stand for.

        Raises: InvalidMessage: a reserved or malformed property, or a delay level together with a delivery time.
        """
        for name, value in self.properties.items():
            if name in names.RESERVED:
                raise InvalidMessage(f"property {name!r} is RocketMQ's own: use the field that stands for it")
            if not name or not value or any(mark in name + value for mark in "\x01\x02"):
                raise InvalidMessage(f"property {name!r}: neither name nor value may be empty or hold U+0001 or U+0002")
        if self.delay_level and self.deliver_at_ms is not None:
            raise InvalidMessage("a message has a delay level or a delivery time, not both")
        merged = dict(self.properties)
        if self.keys:
            merged[names.KEYS] = " ".join(self.keys)
        if self.tag:
            merged[names.TAGS] = self.tag
        if self.sharding_key:
            merged[names.SHARDING_KEY] = self.sharding_key
        if self.delay_level:
            merged[names.DELAY] = str(self.delay_level)
        if self.deliver_at_ms is not None:
            merged[names.TIMER_DELIVER_MS] = str(self.deliver_at_ms)
        return merged


@dataclass(slots=True)
class ReceivedMessage:
    """One record as a consumer or the admin tool sees it; the body is decompressed where it came compressed.

    `topic` is the topic it was stored in; a consumer of a retry topic shows the original one instead.
    """

    topic: str
    queue_id: int
    queue_offset: int
    commit_log_offset: int
    body: bytes
    properties: dict[str, str]
    sys_flag: int
    flag: int
    born_timestamp_ms: int
    born_host: Host
    store_timestamp_ms: int
    store_host: Host
    reconsume_times: int
    prepared_transaction_offset: int
    record_bytes: int
    broker_name: str = ""

    @property
    def tag(self) -> str | None:
        return self.properties.get(names.TAGS)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.properties.get(names.KEYS, "").split())

    @property
    def sharding_key(self) -> str | None:
        return self.properties.get(names.SHARDING_KEY)

    @property
    def offset_message_id(self) -> str:
        return ids.offset_message_id(self.store_host, self.commit_log_offset)

    @property
    def message_id(self) -> str:
        """The client's unique id when it sent one, else the broker's."""
        return self.properties.get(names.UNIQ_KEY) or self.offset_message_id


def check_topic(topic: str) -> None:
    """Raises: InvalidMessage: empty, too long, or with a character RocketMQ refuses.

    Topics of retries may hold one plus sign: `%RETRY%group+topic` is one of the two namings that POP knows.
    """
    limit = 255 if topic.startswith((RETRY_PREFIX, DLQ_PREFIX)) else MAX_TOPIC_LENGTH
    _check_name("topic", topic.replace("+", "_", 1) if topic.startswith(RETRY_PREFIX) else topic, limit)


def check_group(group: str) -> None:
    """Raises: InvalidMessage: as `check_topic`, with the limit of groups."""
    _check_name("group", group, MAX_GROUP_LENGTH)


def _check_name(kind: str, name: str, limit: int) -> None:
    if not name or len(name) > limit or not _LEGAL_NAME.match(name):
        raise InvalidMessage(f"{kind} {name[:150]!r}: 1 to {limit} characters out of a-z A-Z 0-9 _ - % |")
