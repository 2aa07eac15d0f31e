"""What a group wants of a topic: all of it, messages with one of some tags, or those an expression is true of.

The broker filters by the hash of a tag, so a consumer compares the text again. An SQL92 expression is the broker's to
read and to evaluate: what it means, and whether it is one, only brokers say.
Source: RocketMQ FilterAPI.buildSubscriptionData, MessageSelector; remoting sheet 4.8 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from mq.errors import InvalidMessage
from mq.message import message

ALL = "*"
TAG: Final = "TAG"
SQL92: Final = "SQL92"


@dataclass(frozen=True, slots=True)
class MessageSelector:
    """An expression and its type; `MessageSelector.by_sql("price > 10 AND region = 'eu'")`."""

    expression: str
    expression_type: str = TAG

    @classmethod
    def by_sql(cls, expression: str) -> Self:
        """Messages whose properties the SQL92 expression is true of; TAGS and KEYS are properties too."""
        return cls(expression, SQL92)

    @classmethod
    def by_tag(cls, tags: str) -> Self:
        """Messages with one of the tags: `A || B`, or `*` for all."""
        return cls(tags, TAG)


#: What a subscription may be given as: tags as text or list, or a selector.
Wanted = str | tuple[str, ...] | list[str] | MessageSelector


@dataclass(frozen=True, slots=True)
class Subscription:
    """`version` is the moment of subscribing in epoch ms: it stays the same, so brokers never find ours out of date."""

    topic: str
    expression: str
    tags: frozenset[str]
    version: int
    expression_type: str = TAG

    @classmethod
    def parse(cls, topic: str, wanted: Wanted, version: int) -> Subscription:
        """`wanted` as RocketMQ writes tags (`*`, `A`, `A || B`), as a list, of which an empty one means all, or as a
        selector.

        Raises: InvalidMessage: a topic that RocketMQ does not allow, separators and no tag, or an empty expression.
        """
        message.check_topic(topic)
        if isinstance(wanted, MessageSelector):
            if wanted.expression_type != TAG:
                if not wanted.expression.strip():
                    raise InvalidMessage(f"the {wanted.expression_type} expression for topic {topic!r} is empty")
                return cls(topic, wanted.expression, frozenset(), version, wanted.expression_type)
            wanted = wanted.expression
        tags = wanted.split("||") if isinstance(wanted, str) else wanted
        names = sorted({tag.strip() for tag in tags} - {"", ALL})
        if isinstance(wanted, str) and not names and wanted.strip() not in ("", ALL):
            raise InvalidMessage(
                f"subscription {wanted!r} of topic {topic!r} names no tag: write 'A || B', or '*' for all"
            )
        return cls(topic, " || ".join(names) or ALL, frozenset(names), version)

    def matches(self, tag: str | None) -> bool:
        return not self.tags or tag in self.tags
