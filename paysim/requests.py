"""What comes in: bodies, form fields and JSON, each within its limits."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from paysim.config import FIELD_COUNT_MAX
from paysim.errors import TooLong, invalid

T = TypeVar("T")


async def body_of(request: Request, *, bytes_max: int) -> bytes:
    """The body, read no further than its limit.

    Raises: TooLong: it is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise TooLong(bytes_max)
    return bytes(body)


def form_fields(text: bytes, *, bytes_max: int) -> dict[str, str]:
    """Fields of a query or a form.

    Raises: Refusal: too long, too many, malformed, or a field that appears twice.
    """
    if len(text) > bytes_max:
        raise TooLong(bytes_max)
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=FIELD_COUNT_MAX,
        )
    except ValueError as error:
        raise invalid("isv.invalid-parameter", "the fields are not a URL-encoded form in UTF-8") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise invalid("isv.invalid-parameter", "a field appears twice")
    return fields


def json_as(data: bytes | str, kind: type[T]) -> T:
    """`data` as a value of `kind`.

    Raises: Refusal: no JSON, or not of that shape; the sentence names the field.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise invalid("isv.invalid-parameter", str(error)[:200]) from error
