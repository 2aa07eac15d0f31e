"""What a group wants of a topic: all of it, or the messages with one of some tags.

The broker filters by the hash of a tag, so a consumer compares the text again.
Source: RocketMQ FilterAPI.buildSubscriptionData; remoting sheet 4.8 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass

from mq.errors import InvalidMessage
from mq.message import message

ALL = "*"


@dataclass(frozen=True, slots=True)
class Subscription:
    """`version` is the moment of subscribing in epoch ms: it stays the same, so brokers never find ours out of date."""

    topic: str
    expression: str
    tags: frozenset[str]
    version: int

    @classmethod
    def parse(cls, topic: str, tags: str | tuple[str, ...] | list[str], version: int) -> Subscription:
        """`tags` as RocketMQ writes them (`*`, `A`, `A || B`) or as a list; an empty list means all.

        Raises: InvalidMessage: a topic that RocketMQ does not allow, or separators and no tag.
        """
        message.check_topic(topic)
        wanted = tags.split("||") if isinstance(tags, str) else tags
        names = sorted({tag.strip() for tag in wanted} - {"", ALL})
        if isinstance(tags, str) and not names and tags.strip() not in ("", ALL):
            raise InvalidMessage(
                f"subscription {tags!r} of topic {topic!r} names no tag: write 'A || B', or '*' for all"
            )
        return cls(topic, " || ".join(names) or ALL, frozenset(names), version)

    def matches(self, tag: str | None) -> bool:
        return not self.tags or tag in self.tags
