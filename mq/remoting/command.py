"""A request or response as RocketMQ sees it: a code, a few numbers, text fields and a body.

The text fields ("ext fields") stay in the form they arrived in until somebody asks: as a typed struct (`header`, what
processors use) or as a plain mapping (`ext_fields`, what tools use).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Final

import msgspec

from mq.remoting import ext_fields as ext
from mq.remoting.binary_ext import StructType
from mq.remoting.ext_fields import RawExt

#: The version our side announces: 5.3.3. A 0 here would make Java clients refuse SQL92 pulls.
VERSION: Final = 479
LANGUAGE: Final = "PYTHON"
FLAG_RESPONSE: Final = 1
FLAG_ONEWAY: Final = 2

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class RemotingCommand(msgspec.Struct, eq=False):
    """One request or response; `language` is None when the peer named one we do not know.

    Built by the codec in one positional call: a struct costs a third of a class with slots (0.15 us against 0.45).
    """

    code: int
    language: str | None
    version: int
    opaque: int
    flag: int
    remark: str | None
    body: bytes
    is_binary: bool
    raw_ext: RawExt

    @classmethod
    def request(
        cls, code: int, header: msgspec.Struct | Mapping[str, str] | None = None, body: bytes = b""
    ) -> RemotingCommand:
        """A request; the connection that sends it gives it its `opaque` and the header form the peer speaks."""
        return cls(int(code), LANGUAGE, VERSION, 0, 0, None, body, False, as_fields(header))

    def respond(
        self,
        code: int = 0,
        remark: str | None = None,
        ext: msgspec.Struct | Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> RemotingCommand:
        """The answer to this request; to a one-way request it stays marked as such, and connections drop it."""
        flag = FLAG_RESPONSE | (self.flag & FLAG_ONEWAY)
        return RemotingCommand(
            int(code), LANGUAGE, VERSION, self.opaque, flag, remark, body, self.is_binary, as_fields(ext)
        )

    @property
    def is_response(self) -> bool:
        return self.flag & FLAG_RESPONSE != 0

    @property
    def is_oneway(self) -> bool:
        return self.flag & FLAG_ONEWAY != 0

    @property
    def ext_fields(self) -> dict[str, str]:
        """The text fields as a mapping; decoded at the first call.

        Raises: RemoteProtocolError: values that are neither texts, numbers nor booleans.
        """
        if not isinstance(self.raw_ext, dict):
            self.raw_ext = ext.decode(self.raw_ext)
        return self.raw_ext

    def header(self, struct_type: type[StructType]) -> StructType:
        """The text fields as a typed struct; unknown fields are skipped.

        Raises: RemoteProtocolError: names the missing or bad field.
        """
        return ext.decode_typed(self.raw_ext, struct_type)


def as_fields(header: msgspec.Struct | Mapping[str, str] | None) -> dict[str, str] | None:
    """The wire form of a header: decimal numbers, `true` and `false`; fields that are None are left out."""
    if header is None:
        return None
    if isinstance(header, msgspec.Struct):
        fields = {}
        for attribute, wire_name in _wire_names(type(header)):
            value = getattr(header, attribute)
            if value is not None:
                fields[wire_name] = _text(value)
        return fields
    return dict(header)


@cache
def _wire_names(struct_type: type[msgspec.Struct]) -> list[tuple[str, str]]:
    return [(field.name, field.encode_name) for field in msgspec.structs.fields(struct_type)]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    raise TypeError(f"a header field is a text, a number or a boolean, not {value!r}")
