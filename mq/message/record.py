"""The stored form of a message: what lies in the commit log and what a pull, a view or a transaction check carries.

```
off  size   field                          off  size   field
0    4      record size, itself included   48   4|16   born host address     (16: sysFlag 0x10)
4    4      magic                               4      born host port
8    4      CRC-32 of body & 0x7FFFFFFF    56   8      store timestamp, ms   (offsets from here for IPv4)
12   4      queue id                       64   4|16   store host address    (16: sysFlag 0x20)
16   4      flag (the user's)                   4      store host port
20   8      queue offset, messages         72   4      reconsume times
28   8      commit log offset, bytes       76   8      prepared transaction offset
36   4      sysFlag                        84   4      body length, body
40   8      born timestamp, ms                  1|2    topic length (2: magic V2), topic
                                                2      properties length, properties
```
Big-endian, no padding. V2 is written only for topics over 127 bytes.
Source: RocketMQ MessageDecoder.java, MessageExtEncoder.java.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mq.errors import MessageTooLarge, RemoteProtocolError
from mq.message import compression, ids, properties, sys_flag
from mq.message.ids import Host
from mq.message.message import ReceivedMessage

MAGIC_V1: Final = 0xDAA320A7
MAGIC_V2: Final = 0xDAA320AB
MAGIC_BLANK: Final = 0xCBD43194
#: Bytes of an IPv4 V1 record besides body, topic and properties.
FIXED_BYTES: Final = 91
QUEUE_OFFSET_AT: Final = 20
COMMIT_LOG_OFFSET_AT: Final = 28
_SYS_FLAG_LAST_BYTE_AT: Final = 39
_BODY_LENGTH_AT: Final = 84  # 12 more for each host that is IPv6
STORE_TIMESTAMP_AT: Final = 56  # 68 when the born host is IPv6

_HEAD = struct.Struct(">IIIiiqqiq")  # up to and with the born timestamp, 48 bytes
_TAIL = struct.Struct(">iqi")  # reconsume times, prepared transaction offset, body length


@dataclass(slots=True)
class RecordFields:
    """What a broker knows of a message before it is appended; `append` stamps both offsets and the store timestamp."""

    topic: str
    queue_id: int
    body: bytes
    properties_text: bytes
    sys_flag: int
    flag: int
    born_timestamp_ms: int
    born_host: Host
    reconsume_times: int = 0
    prepared_transaction_offset: int = 0


def encode(
    fields: RecordFields, *, queue_offset: int, commit_log_offset: int, store_timestamp_ms: int, store_host: Host
) -> bytes:
    """One whole record.

    Raises: MessageTooLarge: the properties exceed 32,767 bytes or the topic 255.
    """
    topic = fields.topic.encode()
    if len(fields.properties_text) > properties.MAX_PROPERTIES_BYTES:
        raise MessageTooLarge(
            f"properties take {len(fields.properties_text)} bytes, {properties.MAX_PROPERTIES_BYTES} at most"
        )
    if len(topic) > 255:
        raise MessageTooLarge(f"the topic takes {len(topic)} bytes, 255 at most")
    born, store = ids.pack_host(fields.born_host), ids.pack_host(store_host)
    flags = fields.sys_flag & ~(sys_flag.BORN_HOST_V6 | sys_flag.STORE_HOST_V6)
    flags |= (sys_flag.BORN_HOST_V6 if len(born) == 20 else 0) | (sys_flag.STORE_HOST_V6 if len(store) == 20 else 0)
    is_v2 = len(topic) > 127
    tail = [
        born,
        struct.pack(">q", store_timestamp_ms),
        store,
        _TAIL.pack(fields.reconsume_times, fields.prepared_transaction_offset, len(fields.body)),
        fields.body,
        struct.pack(">H" if is_v2 else ">B", len(topic)),
        topic,
        struct.pack(">H", len(fields.properties_text)),
        fields.properties_text,
    ]
    size = _HEAD.size + sum(map(len, tail))
    head = _HEAD.pack(
        size,
        MAGIC_V2 if is_v2 else MAGIC_V1,
        zlib.crc32(fields.body) & 0x7FFFFFFF,
        fields.queue_id,
        fields.flag,
        queue_offset,
        commit_log_offset,
        flags,
        fields.born_timestamp_ms,
    )
    return b"".join((head, *tail))


def decode(data: bytes, start: int = 0, *, check_crc: bool = False, inflate: bool = False) -> ReceivedMessage:
    """The record that begins at `start`.

    `inflate` also decompresses the body (and clears its flag bits), as clients want it; the store keeps the bytes.
    Raises: RemoteProtocolError: truncated, unknown magic, sizes that do not add up, or a wrong body CRC.
    """
    try:
        return _decode(data, start, check_crc=check_crc, inflate=inflate)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise RemoteProtocolError(f"record at byte {start} is malformed: {error}") from error


def _decode(data: bytes, start: int, *, check_crc: bool, inflate: bool) -> ReceivedMessage:
    size, magic, crc, queue_id, flag, queue_offset, commit_log_offset, flags, born_ms = _HEAD.unpack_from(data, start)
    if magic not in (MAGIC_V1, MAGIC_V2):
        raise RemoteProtocolError(f"record at byte {start} has magic {magic:#x}")
    if size < FIXED_BYTES or start + size > len(data):
        raise RemoteProtocolError(f"record at byte {start} claims {size} bytes, {len(data) - start} are there")
    at = start + _HEAD.size
    born_end = at + (20 if flags & sys_flag.BORN_HOST_V6 else 8)
    (store_ms,) = struct.unpack_from(">q", data, born_end)
    store_end = born_end + 8 + (20 if flags & sys_flag.STORE_HOST_V6 else 8)
    reconsume_times, prepared_offset, body_length = _TAIL.unpack_from(data, store_end)
    body_at = store_end + _TAIL.size
    topic_at = body_at + body_length
    topic_length_bytes = 2 if magic == MAGIC_V2 else 1
    topic_length = int.from_bytes(data[topic_at : topic_at + topic_length_bytes], "big")
    topic_at += topic_length_bytes
    (properties_length,) = struct.unpack_from(">H", data, topic_at + topic_length)
    properties_at = topic_at + topic_length + 2
    if body_length < 0 or properties_at + properties_length != start + size:
        raise RemoteProtocolError(f"record at byte {start}: the parts do not add up to its {size} bytes")
    body = bytes(data[body_at : body_at + body_length])
    if check_crc and body and zlib.crc32(body) & 0x7FFFFFFF != crc:
        raise RemoteProtocolError(f"record at byte {start}: the body does not match its CRC")
    if inflate and flags & sys_flag.COMPRESSED:
        body = compression.inflate(body, flags)
        flags &= ~(sys_flag.COMPRESSED | sys_flag.COMPRESSION_MASK)
    return ReceivedMessage(
        topic=_topic(bytes(data[topic_at : topic_at + topic_length])),
        queue_id=queue_id,
        queue_offset=queue_offset,
        commit_log_offset=commit_log_offset,
        body=body,
        properties=properties.decode(bytes(data[properties_at : properties_at + properties_length])),
        sys_flag=flags,
        flag=flag,
        born_timestamp_ms=born_ms,
        born_host=_host(bytes(data[at:born_end])),
        store_timestamp_ms=store_ms,
        store_host=_host(bytes(data[born_end + 8 : store_end])),
        reconsume_times=reconsume_times,
        prepared_transaction_offset=prepared_offset,
        record_bytes=size,
    )


def iterate(data: bytes, *, inflate: bool = False) -> Iterator[ReceivedMessage]:
    """Every record of a pull body or of a stretch of log; blank records are skipped."""
    at = 0
    while at < len(data):
        size, magic = struct.unpack_from(">II", data, at) if at + 8 <= len(data) else (0, 0)
        if magic == MAGIC_BLANK and size >= 8:
            at += size
            continue
        message = decode(data, at, inflate=inflate)
        yield message
        at += message.record_bytes


def properties_text(data: bytes) -> bytes:
    """The properties of one whole record, which is known to be one: nothing is checked, nothing else decoded."""
    flags = data[_SYS_FLAG_LAST_BYTE_AT]
    at = _BODY_LENGTH_AT + (12 if flags & sys_flag.BORN_HOST_V6 else 0) + (12 if flags & sys_flag.STORE_HOST_V6 else 0)
    topic_at = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if data[7] == MAGIC_V2 & 0xFF:
        return data[topic_at + 4 + int.from_bytes(data[topic_at : topic_at + 2], "big") :]
    return data[topic_at + 3 + data[topic_at] :]


# The same few are met again and again: with the short way of reading properties, a record in 8.6 us instead of 10.5.
_host = lru_cache(maxsize=4096)(ids.unpack_host)


@lru_cache(maxsize=4096)
def _topic(name: bytes) -> str:
    return name.decode()
