"""The tag code of a consume queue entry: what the broker knows of a message without opening its record.

The hash of its TAGS, 0 without; in SCHEDULE_TOPIC_XXXX the moment it is due. Source: RocketMQ
CommitLog.checkMessageAndReturnSize, MessageExtBrokerInner.tagsString2tagsCode.
"""

from __future__ import annotations

from typing import Final

from mq.message import properties

SCHEDULE_TOPIC: Final = "SCHEDULE_TOPIC_XXXX"
_TAGS: Final = properties.TAGS.encode() + b"\x01"
_CACHE_LIMIT: Final = 4096
_codes: dict[bytes, int] = {}


def tag_code(text: bytes) -> int:
    """The code of a properties text. Searched as bytes and remembered: 0.25 us for 1.1 with `properties.find`."""
    at = text.rfind(_TAGS)  # of two the last counts, as in a Java map
    if at < 0:
        return 0
    end = text.find(b"\x02", at)
    tag = text[at + 5 : end if end >= 0 else len(text)]
    if not tag or (at and text[at - 1] != 2):
        return properties.tag_code(properties.decode(text).get(properties.TAGS))
    code = _codes.get(tag)
    if code is None:
        if len(_codes) >= _CACHE_LIMIT:
            _codes.clear()
        code = _codes[tag] = properties.java_hash(tag.decode(errors="replace"))
    return code


def due_ms(text: bytes, store_timestamp_ms: int, delay_levels_ms: tuple[int, ...]) -> int:
    """The code in the schedule topic: when the message is due by its level, epoch ms; its tag's without a level."""
    level = properties.find(text, properties.DELAY)
    if level is None or not level.isdecimal() or int(level) == 0:
        return tag_code(text)
    return store_timestamp_ms + delay_levels_ms[min(int(level), len(delay_levels_ms)) - 1]
