"""The body of a batch send (code 320): messages of one topic, each without what the whole batch has in common.

Layout per message: `i32 total, itself included | i32 magic 0 | i32 crc 0 | i32 flag | i32 body length | body |
i16 properties length | properties`. Source: RocketMQ MessageDecoder.encodeMessage, decodeMessage.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from mq.errors import RemoteProtocolError

_HEAD = struct.Struct(">iiiii")
MIN_BYTES: Final = _HEAD.size + 2


class BatchEntry(NamedTuple):
    flag: int
    body: bytes
    properties_text: bytes


def encode(entries: Iterable[BatchEntry]) -> bytes:
    parts: list[bytes] = []
    for entry in entries:
        total = MIN_BYTES + len(entry.body) + len(entry.properties_text)
        parts.append(_HEAD.pack(total, 0, 0, entry.flag, len(entry.body)))
        parts += (entry.body, struct.pack(">H", len(entry.properties_text)), entry.properties_text)
    return b"".join(parts)


def decode(data: bytes) -> Iterator[BatchEntry]:
    """Raises: RemoteProtocolError: lengths that do not add up."""
    at = 0
    while at < len(data):
        if at + MIN_BYTES > len(data):
            raise RemoteProtocolError(f"batch entry at byte {at} is cut off")
        total, _magic, _crc, flag, body_length = _HEAD.unpack_from(data, at)
        body_end = at + _HEAD.size + body_length
        if total < MIN_BYTES or at + total > len(data) or body_length < 0 or body_end + 2 > at + total:
            raise RemoteProtocolError(f"batch entry at byte {at}: lengths {total} and {body_length} do not fit")
        (properties_length,) = struct.unpack_from(">H", data, body_end)
        if body_end + 2 + properties_length != at + total:
            raise RemoteProtocolError(f"batch entry at byte {at}: its parts do not fill its {total} bytes")
        yield BatchEntry(flag, bytes(data[at + _HEAD.size : body_end]), bytes(data[body_end + 2 : at + total]))
        at += total
