r"""RocketMQ's configuration files: Java properties, read into a typed, frozen dataclass.

A config class names RocketMQ's key beside each field (`listen_port: Annotated[int, "listenPort"] = 10911`), so a file
written for Apache RocketMQ works as it is; keys nobody here knows are reported, never an error.

Format: one `key=value` (or `key: value`, `key value`) per line; `#` and `!` begin comments; a backslash at the end of a
line continues it; `\uXXXX`, `\n`, `\t` and so on are escapes. Source: java.util.Properties.load.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from mq.errors import MQError

Config = TypeVar("Config")

_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*?(?:[ \t\f]*[=:][ \t\f]*|[ \t\f]+)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


class ConfigError(MQError):
    """A setting that cannot be used; the sentence names the key, the value and what is expected."""


def load(path: Path) -> dict[str, str]:
    """Every key and value of a file.

    Raises: ConfigError: it cannot be read.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"configuration file {path} cannot be read: {reason}") from error


def parse(text: str) -> dict[str, str]:
    """Every key and value of a properties text; the last of equal keys counts."""
    values = {}
    for line in _logical_lines(text):
        separator = _SEPARATOR.search(line)
        key, value = (line, "") if separator is None else (line[: separator.start()], line[separator.end() :])
        values[_unescape(key)] = _unescape(value).strip()
    return values


def build(config_type: type[Config], values: Mapping[str, str]) -> tuple[Config, list[str]]:
    """A config of the values, and a warning for each key that it does not have.

    Raises: ConfigError: a value of the wrong type.
    """
    known = keys_of(config_type)
    warnings = [_unknown(key, list(known)) for key in values if key not in known]
    return config_type(**_arguments(known, values)), warnings


def changed(config: Config, values: Mapping[str, str]) -> Config:
    """A copy of the config with these values, which must be of keys it has.

    Raises: ConfigError: a value of the wrong type.
    """
    return replace(config, **_arguments(keys_of(type(config)), values))  # type: ignore[type-var]


def keys_of(config_type: type) -> dict[str, tuple[str, Any]]:
    """Attribute and type by RocketMQ's key."""
    hints = get_type_hints(config_type, include_extras=True)
    annotated = ((field.name, get_args(hints[field.name])) for field in fields(config_type))
    return {key: (name, wanted) for name, (wanted, key) in annotated}


def _arguments(known: Mapping[str, tuple[str, Any]], values: Mapping[str, str]) -> dict[str, Any]:
    return {known[key][0]: _typed(key, text, known[key][1]) for key, text in values.items() if key in known}


def dump(config: Any, secret_keys: Collection[str] = ()) -> dict[str, str]:
    """The values of a config under RocketMQ's keys, as a file would have them; secrets as asterisks."""
    table = {}
    for key, (name, _) in keys_of(type(config)).items():
        value = getattr(config, name)
        table[key] = "******" if value and key in secret_keys else as_text(value)
    return table


def as_text(value: object) -> str:
    """One value as a file has it."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    continued = ""
    for physical in text.splitlines():
        line = continued + physical.lstrip(" \t\f")
        if not continued and (not line or line[0] in "#!"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            continued = line[:-1]
            continue
        lines.append(line)
        continued = ""
    return [*lines, continued] if continued else lines


def _unescape(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(plain, text)


def _typed(key: str, text: str, wanted: Any) -> Any:
    if get_origin(wanted) is UnionType:  # `Path | None`: an empty value is None
        if not text:
            return None
        wanted = get_args(wanted)[0]
    try:
        if wanted is bool:
            return {"true": True, "false": False}[text.lower()]
        return wanted(text)
    except (ValueError, KeyError):
        raise ConfigError(f"{key}={text}: {_expectation(wanted)} is expected") from None


def _expectation(wanted: Any) -> str:
    if wanted is bool:
        return "true or false"
    if wanted is int:
        return "a whole number"
    if issubclass(wanted, enum.Enum):
        return " or ".join(str(member.value) for member in wanted)
    return f"a {wanted.__name__}"


def _unknown(key: str, known: list[str]) -> str:
    import difflib  # for this sentence only, and slow to load

    similar = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"unknown configuration key {key} is ignored{hint}"
