"""What services say to each other: events (past tense) and commands (imperative), as messages of the queue.

A service declares its own in its `messages.py`, which is all that other services may import of it:

    class OrderPaid(Event, frozen=True, kw_only=True):
        topic: ClassVar[str] = "order-events"
        order_no: str
        version: int
        total_cents: int

Layout of a message: topic and tag (the class name) say what it is; KEYS holds the business key, and the sharding key
behind it if that is another, so that all about one order is found by its number; the sharding key picks the queue, so
that all about one order is one sequence; the body is JSON, the fields plus `v`, the schema version.
Fields that a reader does not know are ignored, so a writer may add some; a newer `v` is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self

import msgspec

from mq.message.message import Message


class UnreadableEvent(Exception):
    """A message that is not what its topic and tag promise; the sentence names the field or the schema version."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything that is said. Immutable; two events with the same `key` and tag are the same event."""

    topic: ClassVar[str]
    #: Raised when old readers would misunderstand the fields; adding a field does not need it.
    schema_version: ClassVar[int] = 1

    @property
    def tag(self) -> str:
        return type(self).__name__

    @property
    def key(self) -> str:
        """What makes this event itself: by default the order's number. Consumers apply each (tag, key) once."""
        order_no: str = self.order_no  # type: ignore[attr-defined]  # a class without the field says its own key
        return order_no

    @property
    def sharding_key(self) -> str:
        """What it is about: events that share it arrive in the order they were sent."""
        order_no: str = self.order_no  # type: ignore[attr-defined]  # as above
        return order_no

    def to_message(self, *, deliver_at: datetime | None = None, properties: Mapping[str, str] | None = None) -> Message:
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return Message(
            topic=self.topic,
            body=msgspec.json.encode({"v": self.schema_version, **fields}),
            tag=self.tag,
            keys=tuple(dict.fromkeys((self.key, self.sharding_key))),
            sharding_key=self.sharding_key,
            deliver_at_ms=None if deliver_at is None else round(deliver_at.timestamp() * 1000),
            properties=dict(properties or {}),
        )

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """Raises: UnreadableEvent: no JSON, a missing or wrong field, a schema version newer than this reader."""
        try:
            version = msgspec.json.decode(body, type=_Envelope).v
            if version > cls.schema_version:
                raise UnreadableEvent(f"{cls.__name__} v{version}: this reader knows up to v{cls.schema_version}")
            return msgspec.json.decode(body, type=cls)
        except msgspec.MsgspecError as error:
            raise UnreadableEvent(f"{cls.__name__}: {error}") from error


class _Envelope(msgspec.Struct):
    v: int = 1


class Delayed(NamedTuple):
    """An outgoing event that shall arrive at a moment (at most 3 days ahead) instead of at once."""

    event: Event
    deliver_at: datetime


#: What a handler returns: what to send once its transaction is committed.
Outgoing = Event | Delayed
