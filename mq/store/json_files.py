"""Config files: JSON as RocketMQ keeps it under `config/`, with the version before as `.bak`.

Reading accepts fastjson's dialect; writing makes standard JSON, which fastjson reads as well. A last member of ours,
`crc32`, covers the text without it: a digit of an offset that a disk changed would look like any other. RocketMQ
ignores the member and leaves it out when it writes; who edits a file by hand leaves it out, too.
Source: RocketMQ ConfigManager.java.
"""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from mq import dialect
from mq.errors import MQError, RemoteProtocolError, StoreUnusable
from mq.store.disk import Disk

logger = logging.getLogger(__name__)

T = TypeVar("T")

_CRC: Final = re.compile(rb',?\n\t"crc32": "([0-9a-f]{8})"\n\}\Z')


class _Broken(Exception):
    """The file can be opened, but holds something else; the sentence says which file and what."""


def load(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of the file's object; of the `.bak`'s when the file is absent or broken; of `{}` without both.

    A broken file is moved aside as `.damaged` and reported, so that the next save does not make it the `.bak`.
    Raises: StoreUnusable: a file cannot be opened, or only broken versions exist. To start with an empty table, or with
        an older one that the next save makes the truth, would lose what was in it.
    """
    backup = backup_of(path)
    try:
        return _read_one(path, read)
    except FileNotFoundError:
        problem = ""
    except _Broken as error:
        problem = str(error)
    try:
        value = _read_one(backup, read)
    except FileNotFoundError:
        if not problem:
            return read({})
    except _Broken as error:
        problem = problem or str(error)
    else:
        if problem:
            damaged = path.with_name(path.name + ".damaged")
            path.replace(damaged)
            logger.error("%s: the version before (%s) is used, the broken one kept as %s", problem, backup, damaged)
        return value
    raise StoreUnusable(f"{problem}; restore it from a backup, or remove it (and {backup.name}) to start empty")


def _read_one(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be read ({error.strerror}): let this user read and write it") from error
    try:
        value = dialect.loads(_checked(data))
        if not isinstance(value, dict):
            raise _Broken(f"{path} holds no JSON object")
        return read(value)
    except (MQError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise _Broken(f"{path} holds something else than it should ({error})") from error


def read(path: Path) -> dict[str, Any]:
    """One file's object. Raises: OSError, RemoteProtocolError: no JSON object, or not what its CRC says."""
    value = dialect.loads(_checked(path.read_bytes()))
    if not isinstance(value, dict):
        raise RemoteProtocolError("no JSON object")
    return value


def save(path: Path, value: dict[str, Any], disk: Disk | None = None) -> None:
    """Replace the file; a crash at any moment leaves the new version, or the one before as `.bak` or in place."""
    disk = disk or Disk()
    disk.make_folder(path.parent)
    data = _with_crc(_pretty(value))
    disk.replace(path, data, backup=backup_of(path))


def _pretty(value: dict[str, Any]) -> bytes:
    """One member a line, indented by tabs: `json.dumps` does so in Python, and 8,000 offsets then take 18 ms, not 3."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=1)
    line = b"\n"  # no text in JSON holds a line break
    while line + b" " in text:
        text = text.replace(line + b" ", line + b"\t")
        line += b"\t"
    return text


def _with_crc(text: bytes) -> bytes:
    """The text of a JSON object with the member that covers it."""
    is_empty = text == b"{}"
    return text[:-1].rstrip(b"\n") + (b"" if is_empty else b",") + b'\n\t"crc32": "%08x"\n}' % zlib.crc32(text)


def _checked(data: bytes) -> bytes:
    """The text without its CRC, if it has one. Raises: RemoteProtocolError: it does not match."""
    match = _CRC.search(data)
    if match is None:
        return data
    begin = data[: match.start()]
    text = b"{}" if begin == b"{" else begin + b"\n}"
    if b"%08x" % zlib.crc32(text) != match[1]:
        raise RemoteProtocolError(f"the content does not match its crc32 {match[1].decode()}")
    return text


def backup_of(path: Path) -> Path:
    return path.with_name(path.name + ".bak")
