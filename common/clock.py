"""The shop's clock: the system's, moved by the same offset file as the broker's, so that "24 hours pass" for both.

Layout of the file: one big-endian i64, milliseconds. It is mapped, so a moved clock is seen at once and reading it
costs no system call. Only the demo configures it (`settings.CLOCK_OFFSET_FILE`); else the shop's clock is the system's.
Services take `now` as an argument; entry points (views, consumers) call `now()` once and pass it on.
"""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from django.conf import settings


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC) + offset()


def offset() -> timedelta:
    """How far the clock was moved ahead of the system's."""
    path: Path | None = settings.CLOCK_OFFSET_FILE
    if path is None:
        return timedelta()
    (offset_ms,) = struct.unpack_from(">q", _mapped(path))
    return timedelta(milliseconds=offset_ms)


@cache
def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
