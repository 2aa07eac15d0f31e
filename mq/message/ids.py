"""The two message ids: the broker's (where the record lies) and the client's (unique, known before sending).

Offset message id: address (4 or 16 bytes), port (i32), commit log offset (i64) in upper-case hex: 32 or 56 digits.
Unique id: address, process id (u16), a random i32, milliseconds since the month began (i32), counter (u16): the same.
Source: RocketMQ MessageDecoder.createMessageId, MessageClientIDSetter.
"""

from __future__ import annotations

import ipaddress
import itertools
import os
import struct
import time
from typing import NamedTuple

from mq.errors import RemoteProtocolError


class Host(NamedTuple):
    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class OffsetMessageId(NamedTuple):
    host: Host
    commit_log_offset: int


def pack_host(host: Host) -> bytes:
    """Address and port as a record holds them: 8 bytes for IPv4, 20 for IPv6."""
    return ipaddress.ip_address(host.address).packed + struct.pack(">i", host.port)


def unpack_host(data: bytes) -> Host:
    address = ipaddress.ip_address(bytes(data[:-4]))
    return Host(str(address), int.from_bytes(data[-4:], "big"))


def offset_message_id(host: Host, commit_log_offset: int) -> str:
    return (pack_host(host) + struct.pack(">q", commit_log_offset)).hex().upper()


def parse_offset_message_id(text: str) -> OffsetMessageId:
    """Raises: RemoteProtocolError: not 32 or 56 hex digits."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) not in (16, 28):
        raise RemoteProtocolError(f"{text!r} is no offset message id: it has 32 or 56 hex digits")
    return OffsetMessageId(unpack_host(data[:-8]), int.from_bytes(data[-8:], "big"))


class UniqueIds:
    """Makes unique ids for one process; make a new one after a fork."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        head = ipaddress.ip_address(address).packed + struct.pack(">H", os.getpid() & 0xFFFF) + os.urandom(4)
        self._prefix = head.hex().upper()
        self._counter = itertools.count(int.from_bytes(os.urandom(2), "big"))
        now = time.localtime()
        self._month_start = time.mktime((now.tm_year, now.tm_mon, 1, 0, 0, 0, 0, 0, -1))

    def next(self) -> str:
        ms = int((time.time() - self._month_start) * 1000) & 0x7FFFFFFF
        return f"{self._prefix}{ms:08X}{next(self._counter) & 0xFFFF:04X}"
