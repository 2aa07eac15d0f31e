"""Bytes to commands and back; no sockets here.

Layout of a frame, big-endian:
```
i32  length        of everything after this field
i32  mark          high byte: header form (0 JSON, 1 binary); low 24 bits: header length
...  header
...  body          may be empty
```
JSON header: `{"code":105,"extFields":{"topic":"T"},"flag":0,"language":"JAVA","opaque":7,"version":479}`.
Binary header: `i16 code | i8 language | i16 version | i32 opaque | i32 flag | i32 remark length | remark |
i32 fields length | fields` (see `binary_ext`); a length of 0 means absent.

Every reader takes bytes from outside, so lengths are checked before anything is cut or kept. Source: RocketMQ
RemotingCommand.java, RocketMQSerializable.java, NettyDecoder.java.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from mq.errors import LocalProtocolError, RemoteProtocolError
from mq.remoting.binary_ext import BinaryExt, Shapes
from mq.remoting.command import RemotingCommand

#: The most a whole frame may take, its length field included (RocketMQ's `frameMaxLength`).
MAX_FRAME_BYTES: Final = 16_777_216
#: The most a header may take. Properties end at 32 KiB; a million fields would hold the loop for a second.
MAX_HEADER_BYTES: Final = 1 << 20
#: Names by ordinal. Source: LanguageCode.java.
LANGUAGES: Final = (
    *("JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY"),
    *("OTHER", "HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"),
)

_PREFIX = struct.Struct(">II")
_BINARY_HEAD = struct.Struct(">hbhiii")
_INT = struct.Struct(">i")
_JSON, _BINARY = 0, 1


class _JsonHeader(msgspec.Struct):
    """What arrives; Java reads leniently, so nothing is mandatory and unknown fields are skipped."""

    code: int = 0
    language: str | int | None = None
    version: int = 0
    opaque: int = 0
    flag: int = 0
    remark: str | None = None
    extFields: msgspec.Raw = msgspec.Raw()


class _JsonHeaderOut(msgspec.Struct):
    """What we write: Java's fields in Java's order, absent ones left out."""

    code: int
    extFields: dict[str, str] | msgspec.Raw | msgspec.UnsetType
    flag: int
    language: str | msgspec.UnsetType
    opaque: int
    remark: str | msgspec.UnsetType
    serializeTypeCurrentRPC: str
    version: int


_json_header = msgspec.json.Decoder(_JsonHeader)
_to_json = msgspec.json.Encoder().encode


class FrameDecoder:
    """Collects bytes as they come and gives back whole commands; what is left over waits for more.

    `wanted_bytes` is 0 between frames, else how long the waiting part must become; `has_header` says whether the
    waiting part already holds a whole header. Both serve whoever watches for slow peers.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._shapes = Shapes()
        self.wanted_bytes = 0

    @property
    def has_header(self) -> bool:
        waiting = self._waiting
        return len(waiting) >= 8 and len(waiting) >= 8 + int.from_bytes(waiting[5:8], "big")

    def feed(self, data: bytes) -> list[RemotingCommand]:
        """The commands that `data` completes, in order.

        Raises: RemoteProtocolError: no frame of this protocol or one that is too long; the decoder is of no more use.
        """
        if self.wanted_bytes:
            # Joined once a frame is whole, not at every chunk: a large body arrives in hundreds of them.
            self._waiting += data
            if len(self._waiting) < self.wanted_bytes:
                return []
            data = bytes(self._waiting)
            self._waiting.clear()
        commands: list[RemotingCommand] = []
        at, end = 0, len(data)
        wanted = 0
        while end - at >= 8:
            length, mark = _PREFIX.unpack_from(data, at)
            header_length = mark & 0xFFFFFF
            if length > MAX_FRAME_BYTES - 4 or length < header_length + 4 or header_length > MAX_HEADER_BYTES:
                raise RemoteProtocolError(f"frame length {length} with header length {header_length}")
            frame_end = at + 4 + length
            if frame_end > end:
                wanted = 4 + length
                break
            header_end = at + 8 + header_length
            commands.append(self._decode(mark >> 24, data[at + 8 : header_end], data[header_end:frame_end]))
            at = frame_end
        if at < end:
            self._waiting += data[at:]
            self.wanted_bytes = wanted or 8
            _check_length(self._waiting)
        else:
            self.wanted_bytes = 0
        return commands

    def _decode(self, form: int, header: bytes, body: bytes) -> RemotingCommand:
        if form == _JSON:
            return _decode_json(header, body)
        if form == _BINARY:
            return _decode_binary(header, body, self._shapes)
        raise RemoteProtocolError(f"header form {form} is neither JSON (0) nor binary (1)")


def _check_length(start: bytearray) -> None:
    """Refuse a hopeless frame at its first four bytes: a peer that speaks another protocol is told at once."""
    if len(start) >= 4 and int.from_bytes(start[:4], "big") > MAX_FRAME_BYTES - 4:
        raise RemoteProtocolError(f"frame length {int.from_bytes(start[:4], 'big')} exceeds {MAX_FRAME_BYTES - 4}")


def _decode_json(header: bytes, body: bytes) -> RemotingCommand:
    try:
        head = _json_header.decode(header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"JSON header: {error}") from error
    if not -0x8000_0000 <= head.opaque <= 0x7FFF_FFFF:
        raise RemoteProtocolError(f"JSON header: opaque {head.opaque} is no 32-bit number")
    language = head.language
    return RemotingCommand(
        head.code,
        language if isinstance(language, str) else None,
        head.version,
        head.opaque,
        head.flag,
        head.remark,
        body,
        False,
        head.extFields or None,
    )


def _decode_binary(header: bytes, body: bytes, shapes: Shapes) -> RemotingCommand:
    try:
        code, language, version, opaque, flag, remark_length = _BINARY_HEAD.unpack_from(header)
        remark_end = _BINARY_HEAD.size + remark_length
        (fields_length,) = _INT.unpack_from(header, remark_end)
        remark = header[_BINARY_HEAD.size : remark_end].decode() or None
    except (struct.error, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"binary header of {len(header)} bytes: {error}") from error
    fields_end = remark_end + 4 + fields_length
    if remark_length < 0 or fields_length < 0 or fields_end > len(header):
        raise RemoteProtocolError(f"binary header: lengths {remark_length} and {fields_length} do not fit")
    fields = BinaryExt(header[remark_end + 4 : fields_end], shapes) if fields_length else None
    name = LANGUAGES[language] if 0 <= language < len(LANGUAGES) else None
    return RemotingCommand(code, name, version, opaque, flag, remark, body, True, fields)


def encode(command: RemotingCommand) -> bytes:
    """One whole frame, in the header form that the command asks for.

    Raises: LocalProtocolError: it exceeds 16 MiB or its header 1 MiB, or its code does not fit a binary header.
    """
    header = _encode_binary(command) if command.is_binary else _encode_json(command)
    length = 4 + len(header) + len(command.body)
    if length > MAX_FRAME_BYTES - 4 or len(header) > MAX_HEADER_BYTES:
        sizes = f"a frame of {length + 4} bytes with a header of {len(header)}"
        raise LocalProtocolError(f"{sizes} exceeds {MAX_FRAME_BYTES} or {MAX_HEADER_BYTES}")
    return _PREFIX.pack(length, (_BINARY if command.is_binary else _JSON) << 24 | len(header)) + header + command.body


def _encode_json(command: RemotingCommand) -> bytes:
    fields = command.raw_ext
    if isinstance(fields, BinaryExt):
        fields = command.ext_fields
    return _to_json(
        _JsonHeaderOut(
            command.code,
            msgspec.UNSET if fields is None else fields,
            command.flag,
            command.language or msgspec.UNSET,
            command.opaque,
            msgspec.UNSET if command.remark is None else command.remark,
            "JSON",
            command.version,
        )
    )


def _encode_binary(command: RemotingCommand) -> bytes:
    language = LANGUAGES.index(command.language) if command.language in LANGUAGES else LANGUAGES.index("OTHER")
    remark = (command.remark or "").encode()
    entries: list[bytes] = []
    for name, value in command.ext_fields.items():
        name_bytes, value_bytes = name.encode(), value.encode()
        entries += (struct.pack(">h", len(name_bytes)), name_bytes, _INT.pack(len(value_bytes)), value_bytes)
    fields = b"".join(entries)
    try:
        head = _BINARY_HEAD.pack(command.code, language, command.version, command.opaque, command.flag, len(remark))
    except struct.error as error:
        raise LocalProtocolError(f"code {command.code} does not fit a binary header: {error}") from error
    return head + remark + _INT.pack(len(fields)) + fields
