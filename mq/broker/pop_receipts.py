"""What a consumer by POP is told of where its messages lie, and hands back to acknowledge one.

Layout of a receipt: eight words with blanks between them: first queue offset of the check point, pop time and invisible
time in ms, queue of the revive log, kind of topic, broker name, queue id, queue offset of the message. The kind is 0
for the topic itself and 1 or 2 for the topic of its retries, whose name is written in one of two ways. RocketMQ's proxy
adds a ninth word, the commit log offset.
Source: RocketMQ ExtraInfoUtil, KeyBuilder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Self

from mq.errors import InvalidMessage
from mq.message.message import RETRY_PREFIX

#: The queue of the revive log that messages consumed in order name: they have no check point.
ORDER_QUEUE: Final = 999
_WORD_COUNT: Final = 8
_MAX_DIGITS: Final = 19


class Receipt(NamedTuple):
    """Units: times in ms, the pop time since the epoch."""

    start_offset: int
    pop_time_ms: int
    invisible_ms: int
    revive_queue: int
    kind: str
    broker_name: str
    queue_id: int
    queue_offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: InvalidMessage: not eight words, or no numbers where they should be."""
        words = text.split(" ")
        if len(words) == _WORD_COUNT + 1 and _is_number(words[-1]):
            words.pop()
        numbers = [word for place, word in enumerate(words) if place not in (4, 5)]
        if len(words) != _WORD_COUNT or not all(_is_number(word) for word in numbers):
            raise InvalidMessage(f"extraInfo {text[:200]!r} is no receipt of a message that was popped")
        start, popped, invisible, revive_queue, kind, broker_name, queue_id, queue_offset = words
        return cls(
            int(start),
            int(popped),
            int(invisible),
            int(revive_queue),
            kind,
            broker_name,
            int(queue_id),
            int(queue_offset),
        )

    def __str__(self) -> str:
        return " ".join(map(str, self))


def pop_retry_topic(topic: str, group: str, *, is_v2: bool = False) -> str:
    """Where messages of `topic` go that the group did not acknowledge in time, unless they come from there."""
    return topic if topic.startswith(RETRY_PREFIX) else f"{RETRY_PREFIX}{group}{'+' if is_v2 else '_'}{topic}"


def pop_retry_topics(topic: str, group: str) -> tuple[str, ...]:
    """All topics where retries of `topic` may lie: the setting that names new ones may have been another before."""
    if topic.startswith(RETRY_PREFIX):
        return ()
    return pop_retry_topic(topic, group), pop_retry_topic(topic, group, is_v2=True)


def kind_of(topic: str) -> str:
    if not topic.startswith(RETRY_PREFIX):
        return "0"
    return "2" if "+" in topic else "1"


def topic_of_kind(topic: str, group: str, kind: str) -> str:
    """The topic that was popped from, of the one a consumer names. Raises: InvalidMessage: an unknown kind."""
    if kind == "0" or topic.startswith(RETRY_PREFIX):
        return topic
    if kind in ("1", "2"):
        return f"{RETRY_PREFIX}{group}{'_' if kind == '1' else '+'}{topic}"
    raise InvalidMessage(f"{kind[:20]!r} is no kind of topic: 0, 1 or 2")


def normal_topic(topic: str, group: str) -> str:
    """The topic whose retries these are; the topic itself when they are none."""
    for separator in "_+":
        prefix = f"{RETRY_PREFIX}{group}{separator}"
        if topic.startswith(prefix):
            return topic[len(prefix) :]
    return topic


def offsets_words(topic: str, queue_id: int, queue_offsets: Iterable[int]) -> str:
    """One entry of `startOffsetInfo` or `msgOffsetInfo`; entries are joined by `;`."""
    return f"{kind_of(topic)} {queue_id} {','.join(map(str, queue_offsets))}"


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= _MAX_DIGITS
