"""The text fields of a command, from the form they arrived in to a mapping or to a typed struct.

Two forms arrive: entries of a binary header (`binary_ext`), and the text of the `extFields` object of a JSON header, in
which Java puts texts only, C++ and Node also numbers and booleans. Source: RocketMQ RemotingSerializable.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from mq.errors import RemoteProtocolError
from mq.remoting import binary_ext
from mq.remoting.binary_ext import BinaryExt, StructType

_texts = msgspec.json.Decoder(dict[str, str])

RawExt = msgspec.Raw | BinaryExt | dict[str, str] | None


def decode(raw: RawExt) -> dict[str, str]:
    """Every field as text.

    Raises: RemoteProtocolError: malformed, or a value that is neither text, number nor boolean.
    """
    if raw is None:
        return {}
    if isinstance(raw, dict):
        return raw
    if isinstance(raw, BinaryExt):
        return binary_ext.decode(raw.data)
    try:
        return _texts.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # perhaps a number among the texts, or null: rare enough to take the long way round
    try:
        fields = msgspec.json.decode(raw) or {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"extFields: {error}") from error
    if not isinstance(fields, dict):
        raise RemoteProtocolError("extFields is no object")
    return {name: _text(name, value) for name, value in fields.items() if value is not None}


def decode_typed(raw: RawExt, struct_type: type[StructType]) -> StructType:
    """The fields that `struct_type` has.

    Raises: RemoteProtocolError: names the missing or bad field.
    """
    try:
        if isinstance(raw, BinaryExt):
            return raw.shapes.read(raw.data, struct_type)
        if isinstance(raw, msgspec.Raw):
            try:
                return _json_decoder(struct_type).decode(raw)  # type: ignore[no-any-return]
            except msgspec.ValidationError:
                pass  # perhaps a number where a text belongs: rare enough to take the long way round
        return msgspec.convert(decode(raw), struct_type, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"{struct_type.__name__}: {error}") from error


@cache
def _json_decoder(struct_type: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(struct_type, strict=False)


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise RemoteProtocolError(f"extFields: the value of {name!r} is a {type(value).__name__}")
