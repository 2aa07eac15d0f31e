"""Config files: JSON as RocketMQ keeps it under `config/`, with the version before as `.bak`.

Reading accepts fastjson's dialect; writing makes standard JSON, which fastjson reads as well.
Source: RocketMQ ConfigManager.java.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from mq import dialect
from mq.errors import MQError, StoreUnusable

logger = logging.getLogger(__name__)

T = TypeVar("T")


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
        value = dialect.loads(data)
        if not isinstance(value, dict):
            raise _Broken(f"{path} holds no JSON object")
        return read(value)
    except (MQError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise _Broken(f"{path} holds something else than it should ({error})") from error


def save(path: Path, value: dict[str, Any]) -> None:
    """Replace the file; a crash at any moment leaves the new version, or the one before as `.bak` or in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(json.dumps(value, indent="\t", ensure_ascii=False).encode())
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        path.replace(backup_of(path))
    fresh.replace(path)
    _sync_folder(path.parent)


def backup_of(path: Path) -> Path:
    return path.with_name(path.name + ".bak")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
