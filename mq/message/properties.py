"""The properties of a message: their names, their text form, and the tag hash.

Layout of the text: `name 0x01 value 0x02`, repeated, UTF-8. Java ends with 0x02, older clients leave the
last one out; both are read.
Source: RocketMQ common/message/MessageConst.java, MessageDecoder.string2messageProperties.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

KEYS: Final = "KEYS"
TAGS: Final = "TAGS"
WAIT: Final = "WAIT"
DELAY: Final = "DELAY"
RETRY_TOPIC: Final = "RETRY_TOPIC"
REAL_TOPIC: Final = "REAL_TOPIC"
REAL_QID: Final = "REAL_QID"
TRAN_MSG: Final = "TRAN_MSG"
PGROUP: Final = "PGROUP"
MIN_OFFSET: Final = "MIN_OFFSET"
MAX_OFFSET: Final = "MAX_OFFSET"
ORIGIN_MESSAGE_ID: Final = "ORIGIN_MESSAGE_ID"
RECONSUME_TIME: Final = "RECONSUME_TIME"
MAX_RECONSUME_TIMES: Final = "MAX_RECONSUME_TIMES"
MSG_REGION: Final = "MSG_REGION"
TRACE_ON: Final = "TRACE_ON"
UNIQ_KEY: Final = "UNIQ_KEY"
CONSUME_START_TIME: Final = "CONSUME_START_TIME"
CLUSTER: Final = "CLUSTER"
TRAN_PREPARED_QUEUE_OFFSET: Final = "TRAN_PREPARED_QUEUE_OFFSET"
TRANSACTION_ID: Final = "__transactionId__"
TRANSACTION_CHECK_TIMES: Final = "TRANSACTION_CHECK_TIMES"
CHECK_IMMUNITY_TIME_IN_SECONDS: Final = "CHECK_IMMUNITY_TIME_IN_SECONDS"
SHARDING_KEY: Final = "__SHARDINGKEY"
TIMER_DELAY_SEC: Final = "TIMER_DELAY_SEC"
TIMER_DELAY_MS: Final = "TIMER_DELAY_MS"
TIMER_DELIVER_MS: Final = "TIMER_DELIVER_MS"
TIMER_OUT_MS: Final = "TIMER_OUT_MS"
TIMER_ENQUEUE_MS: Final = "TIMER_ENQUEUE_MS"
TIMER_DEQUEUE_MS: Final = "TIMER_DEQUEUE_MS"
TIMER_ROLL_TIMES: Final = "TIMER_ROLL_TIMES"
TIMER_DEL_UNIQKEY: Final = "TIMER_DEL_UNIQKEY"
DLQ_ORIGIN_TOPIC: Final = "DLQ_ORIGIN_TOPIC"
DLQ_ORIGIN_MESSAGE_ID: Final = "DLQ_ORIGIN_MESSAGE_ID"
POP_CK: Final = "POP_CK"
FIRST_POP_TIME: Final = "1ST_POP_TIME"
INSTANCE_ID: Final = "INSTANCE_ID"
CORRELATION_ID: Final = "CORRELATION_ID"
REPLY_TO_CLIENT: Final = "REPLY_TO_CLIENT"
TTL: Final = "TTL"
MSG_TYPE: Final = "MSG_TYPE"
ARRIVE_TIME: Final = "ARRIVE_TIME"
PUSH_REPLY_TIME: Final = "PUSH_REPLY_TIME"

#: The most bytes the text may take: its length is a signed 16-bit field of the record.
MAX_PROPERTIES_BYTES: Final = 32_767

#: Names a user may not set: broker and client give them their meaning (MessageConst.STRING_HASH_SET, and the timers').
RESERVED: Final = frozenset(
    value for name, value in globals().items() if name.isupper() and isinstance(value, str) and not name.startswith("_")
) - {SHARDING_KEY}

_NAME_END = "\x01"
_VALUE_END = "\x02"


def encode(properties: Mapping[str, str]) -> bytes:
    """The text form, in the mapping's order, each entry ended by 0x02."""
    return "".join([f"{name}\x01{value}\x02" for name, value in properties.items()]).encode()


def decode(text: bytes) -> dict[str, str]:
    """The mapping of a text; entries without a name, a separator or a value are left out, as RocketMQ does.

    Bytes that are not UTF-8 become U+FFFD, so that a foreign message can be shown rather than stop a queue.
    """
    entries = text.decode(errors="replace").removesuffix(_VALUE_END).split(_VALUE_END)
    try:
        # What every client writes, without a loop; anything odd about it is left to the one below.
        properties = dict([entry.split(_NAME_END) for entry in entries])
        if "" not in properties and "" not in properties.values():
            return properties
    except ValueError:
        pass
    properties = {}
    for entry in entries:
        name, separator, value = entry.partition(_NAME_END)
        if name and separator and value:
            properties[name] = value
    return properties


def find(text: bytes, name: str) -> str | None:
    """One value without decoding the rest; None when absent."""
    marker = name.encode() + b"\x01"
    start = 0 if text.startswith(marker) else text.find(b"\x02" + marker) + 1
    if start == 0 and not text.startswith(marker):
        return None
    start += len(marker)
    end = text.find(b"\x02", start)
    return text[start : end if end >= 0 else len(text)].decode(errors="replace") or None


def java_hash(text: str) -> int:
    """Java's `String.hashCode`: h = 31*h + unit over UTF-16 units, wrapped to a signed 32-bit integer."""
    units = text.encode("utf-16-be", errors="surrogatepass")
    value = 0
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8) + low) & 0xFFFFFFFF
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value


@lru_cache(maxsize=4096)
def tag_code(tag: str | None) -> int:
    """The number by which the broker filters: `java_hash`, 0 for no tag. Cached, as tags are few (0.1 us for 1.5)."""
    return java_hash(tag) if tag else 0
