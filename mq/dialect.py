"""JSON as fastjson writes it: the dialect of RocketMQ's request bodies and config files.

Three things differ from the standard. Integer keys come bare (`{0:5}`), a map keyed by objects has objects for keys
(`{{"queueId":1}:2}`), and an object that occurs twice is written once and then as `{"$ref":"$.path"}`. Reading turns
every key into text (an object key into its compact JSON with sorted names) and resolves references; writing makes the
first two forms from `int` keys and from keys that are named tuples.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from mq.errors import RemoteProtocolError

#: Nesting beyond this is refused: nobody's tables are that deep, and the reader calls itself.
MAX_DEPTH: Final = 100

_SPACE = re.compile(r"[ \t\r\n]*")
_BARE = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[LBSFD]?|true|false|null|[A-Za-z_]\w*")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[['\"]([^'\"]*)['\"]\]")
#: `json.dumps` with any option builds an encoder for each call, three times the cost of a short text.
_encode = json.JSONEncoder(ensure_ascii=False).encode
_scan_string = json.decoder.scanstring  # type: ignore[attr-defined]


def loads(data: bytes | str) -> Any:
    """The value of a text, standard JSON or fastjson's.

    Raises: RemoteProtocolError: neither.
    """
    text = data if isinstance(data, str) else data.decode(errors="replace")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise RemoteProtocolError(f"JSON nested deeper than {MAX_DEPTH}") from error
    except ValueError:
        value = _Reader(text).document()
    return _resolve(value, value, 0) if '"$ref"' in text else value


def dumps(value: Any, *, bare_keys: bool = False) -> bytes:
    """Compact JSON; with `bare_keys` integer and object keys as fastjson writes them, else integer keys quoted."""
    if not bare_keys:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return _write(value).encode()


def _write(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write_key(key)}:{_write(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _write(value._asdict())
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_write, value)) + "]"
    return _encode(value)


def _write_key(key: Any) -> str:
    return _write(key) if isinstance(key, tuple) else _encode(key)


class _Reader:
    """Recursive descent over one text; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def document(self) -> Any:
        value = self._value(0)
        if self._peek():
            raise self._error("text after the end of the value")
        return value

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._error(f"nesting deeper than {MAX_DEPTH}")
        match self._peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case '"':
                return self._string()
        word = self._word()
        if word in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[word]
        number = word.rstrip("LBSFD")
        try:
            return int(number) if number.lstrip("-").isdigit() else float(number)
        except ValueError:
            raise self._error(f"{word!r} is no value") from None

    def _object(self, depth: int) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self._at += 1
        while self._peek() != "}":
            key = self._key(depth)
            self._expect(":")
            members[key] = self._value(depth + 1)
            if self._peek() != "}":
                self._expect(",")
        self._at += 1
        return members

    def _array(self, depth: int) -> list[Any]:
        items: list[Any] = []
        self._at += 1
        while self._peek() != "]":
            items.append(self._value(depth + 1))
            if self._peek() != "]":
                self._expect(",")
        self._at += 1
        return items

    def _key(self, depth: int) -> str:
        match self._peek():
            case '"':
                return self._string()
            case "{":
                return json.dumps(self._value(depth + 1), separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        return self._word()

    def _string(self) -> str:
        try:
            text, self._at = _scan_string(self._text, self._at + 1, False)
        except ValueError:
            raise self._error("a string that does not end") from None
        return str(text)

    def _word(self) -> str:
        match = _BARE.match(self._text, self._at)
        if match is None:
            raise self._error("no value begins here")
        self._at = match.end()
        return match.group()

    def _peek(self) -> str:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _expect(self, character: str) -> None:
        if self._peek() != character:
            raise self._error(f"{character!r} expected")
        self._at += 1

    def _error(self, reason: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"not JSON, nor fastjson's dialect, at character {self._at}: {reason}")


def _resolve(value: Any, root: Any, depth: int) -> Any:
    """Put what they point to in place of `{"$ref": "$..."}` objects; relative ones (fastjson's `@`, `..`) stay."""
    if depth > MAX_DEPTH:
        raise RemoteProtocolError(f"references nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [_resolve(item, root, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    path = value.get("$ref")
    if len(value) == 1 and isinstance(path, str) and path.startswith("$"):
        return _follow(path, root)
    return {key: _resolve(item, root, depth + 1) for key, item in value.items()}


def _follow(path: str, root: Any) -> Any:
    target = root
    try:
        for name, number, quoted in _STEP.findall(path):
            target = target[int(number)] if number else target[name or quoted]
    except (KeyError, IndexError, TypeError):
        raise RemoteProtocolError(f"a reference points to {path!r}, which is not there") from None
    return target
