"""Config files: JSON as RocketMQ keeps it under `config/`, with the version before as `.bak`.

Reading accepts fastjson's dialect; writing makes standard JSON, which fastjson reads as well.
Source: RocketMQ ConfigManager.java.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mq import dialect
from mq.errors import ProtocolError, StoreUnusable


def load(path: Path) -> dict[str, Any]:
    """The file's object; the `.bak`'s when the file is absent, empty or broken; empty when neither exists.

    Raises: StoreUnusable: only broken versions exist: starting with an empty table would lose what was in it.
    """
    backup = backup_of(path)
    problem: str | None = None
    for candidate in (path, backup):
        if not candidate.exists():
            continue
        try:
            value = dialect.loads(candidate.read_bytes())
        except (OSError, ProtocolError) as error:
            problem = problem or f"{candidate}: {error}"
            continue
        if isinstance(value, dict):
            return value
        problem = problem or f"{candidate} holds no JSON object"
    if problem is not None:
        raise StoreUnusable(f"{problem}; restore it from a backup, or remove it (and {backup.name}) to start empty")
    return {}


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
