"""The body of a broker's registration (code 103), plain or compressed.

Layout of the compressed form, after zlib: `i32 length | DataVersion JSON | i32 topic count`, then per topic
`i32 length | "name readQueues writeQueues perm filterType {attributes}"` (4.x leaves the attributes out), then parts
that we do not use.
Source: RocketMQ RegisterBrokerBody.decode, TopicConfig.decode.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from mq import dialect
from mq.errors import RemoteProtocolError, ResponseError
from mq.remoting.bodies import DataVersion, RegisterBrokerBody, TopicConfig, TopicConfigSerializeWrapper
from mq.remoting.codes import ResponseCode
from mq.remoting.headers import RegisterBrokerRequestHeader

#: What a compressed body may grow to: 50,000 topics take about 5 MB.
MAX_INFLATED_BYTES: Final = 64 << 20
_INT = struct.Struct(">i")


def decode(header: RegisterBrokerRequestHeader, body: bytes) -> TopicConfigSerializeWrapper:
    """The broker's topics and their version.

    Raises: ResponseError: 1 for a CRC that does not match.  RemoteProtocolError: not a registration.
    """
    if header.body_crc32 and zlib.crc32(body) & 0x7FFFFFFF != header.body_crc32:
        raise ResponseError(ResponseCode.SYSTEM_ERROR, "crc32 not match")
    if not body:
        return TopicConfigSerializeWrapper()
    if header.compressed:
        return _decode_compressed(body)
    return RegisterBrokerBody.from_json(body).topic_config_serialize_wrapper


def _decode_compressed(body: bytes) -> TopicConfigSerializeWrapper:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, MAX_INFLATED_BYTES)
        if not inflater.eof:
            raise RemoteProtocolError(f"the registration is cut off or exceeds {MAX_INFLATED_BYTES} bytes")
        version, at = _text(data, 0)
        (count,) = _INT.unpack_from(data, at)
        at += _INT.size
        topics = {}
        for _ in range(count):
            line, at = _text(data, at)
            topic = _topic(line)
            topics[topic.topic_name] = topic
    except (zlib.error, struct.error, UnicodeDecodeError, ValueError) as error:
        raise RemoteProtocolError(f"compressed registration: {error}") from error
    return TopicConfigSerializeWrapper(DataVersion.from_json(version.encode()), topics)


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _INT.unpack_from(data, at)
    end = at + _INT.size + length
    if length < 0 or end > len(data):
        raise ValueError(f"a text of {length} bytes at byte {at}")
    return data[at + _INT.size : end].decode(), end


def _topic(line: str) -> TopicConfig:
    name, read_count, write_count, perm, filter_type, *rest = line.split(" ", 5)
    attributes = dialect.loads(rest[0]) if rest and rest[0] else {}
    if not isinstance(attributes, dict):
        raise ValueError(f"the attributes of topic {name} are no object")
    return TopicConfig(name, int(read_count), int(write_count), int(perm), filter_type, attributes=attributes)
