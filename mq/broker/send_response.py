"""The answer to a send, formatted into prepared frames: tens of thousands a second are equal but for five values.

A general response costs about four times as much to encode. The fields are those of `SendMessageResponseHeader`, all of
them, always: Java clients read them without looking whether they are there.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from mq.message import ids
from mq.message.ids import Host
from mq.remoting.codec import LANGUAGES
from mq.remoting.command import FLAG_RESPONSE, LANGUAGE, VERSION

_PREFIX = struct.Struct(">II")
_BINARY_FORM: Final = 1 << 24


class SendResponses:
    """Both header forms of "stored": give the form in which the request came."""

    def __init__(self, store_host: Host, region: str, *, is_traced: bool) -> None:
        self._host_hex = ids.offset_message_id(store_host, 0)[:-16]
        self._region = region
        self._trace_on = "true" if is_traced else "false"
        fields = (
            f'{{"MSG_REGION":"{region}","TRACE_ON":"{self._trace_on}","msgId":"{self._host_hex}%016X",'
            '"queueId":"%d","queueOffset":"%d","transactionId":"%s"}'
        )
        self._json = (
            f'{{"code":0,"extFields":{fields},"flag":{FLAG_RESPONSE},"language":"{LANGUAGE}","opaque":%d,'
            f'"serializeTypeCurrentRPC":"JSON","version":{VERSION}}}'
        )

    def json(self, opaque: int, queue_id: int, queue_offset: int, commit_log_offset: int, transaction_id: str) -> bytes:
        """`transaction_id` goes in as it is: ASCII letters and digits only."""
        text = self._json % (commit_log_offset, queue_id, queue_offset, transaction_id, opaque)
        header = text.encode()
        return _PREFIX.pack(len(header) + 4, len(header)) + header

    def binary(
        self, opaque: int, queue_id: int, queue_offset: int, commit_log_offset: int, transaction_id: str
    ) -> bytes:
        queue, at, unique = b"%d" % queue_id, b"%d" % queue_offset, transaction_id.encode()
        template = self._binary_template(len(queue), len(at), len(unique))
        return template % (opaque.to_bytes(4, "big", signed=True), commit_log_offset, queue, at, unique)

    @lru_cache(maxsize=1024)  # noqa: B019 - a broker has one of these, for as long as it lives
    def _binary_template(self, queue_digits: int, offset_digits: int, unique_length: int) -> bytes:
        """A frame with every length in place, as a format of the values alone."""
        fields = [
            (b"MSG_REGION", len(self._region), _constant(self._region.encode())),
            (b"TRACE_ON", len(self._trace_on), _constant(self._trace_on.encode())),
            (b"msgId", len(self._host_hex) + 16, _constant(self._host_hex.encode()) + b"%016X"),
            (b"queueId", queue_digits, b"%b"),
            (b"queueOffset", offset_digits, b"%b"),
            (b"transactionId", unique_length, b"%b"),
        ]
        ext = b"".join(
            _constant(struct.pack(">H", len(name)) + name + struct.pack(">I", length)) + value_format
            for name, length, value_format in fields
        )
        ext_length = sum(2 + len(name) + 4 + length for name, length, _ in fields)
        before_opaque = struct.pack(">HBH", 0, LANGUAGES.index(LANGUAGE), VERSION)
        after_opaque = struct.pack(">III", FLAG_RESPONSE, 0, ext_length)
        header_length = len(before_opaque) + 4 + len(after_opaque) + ext_length
        prefix = _PREFIX.pack(header_length + 4, _BINARY_FORM | header_length)
        return _constant(prefix + before_opaque) + b"%b" + _constant(after_opaque) + ext


def _constant(data: bytes) -> bytes:
    """Bytes that a format leaves alone."""
    return data.replace(b"%", b"%%")
