"""Wall-clock time for the queue, in milliseconds, as an argument that tests and the demo can move.

Everything stored or compared with stored times (store timestamps, delays, timers, transaction checks) reads a `Clock`.
Everything about liveness (heartbeats, leases, timeouts) uses the loop's monotonic time instead, which nobody moves.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import time
from pathlib import Path
from typing import Final, Protocol

_OFFSET: Final = struct.Struct(">q")


class Clock(Protocol):
    def now_ms(self) -> int:
        """Epoch milliseconds."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        self._now_ms += ms


class OffsetFileClock:
    """The system's clock plus an offset that another process may change at any time.

    Layout of the file: one big-endian i64, the offset in milliseconds; a missing file is created with 0. It is mapped,
    so reading the clock costs no system call. `manage.py time-travel` writes it; never used unless configured.

    Raises: ValueError: the file has another length.
    """

    def __init__(self, path: Path) -> None:
        _create(path)
        read_offset_file(path)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)

    def now_ms(self) -> int:
        (offset_ms,) = _OFFSET.unpack_from(self._map)
        return time.time_ns() // 1_000_000 + int(offset_ms)


def read_offset_file(path: Path) -> int:
    """The offset in milliseconds, 0 when there is no file. Raises: ValueError: the file has another length."""
    return _decoded(path, path.read_bytes()) if path.exists() else 0


def move_offset_file(path: Path, by_ms: int) -> int:
    """Add `by_ms` to the offset in the file (created when missing) and return the new offset in milliseconds.

    Two who move it at once both have their way. Raises: ValueError: the file has another length; it stays as it is.
    """
    _create(path)
    with path.open("r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        offset_ms = _decoded(path, file.read(_OFFSET.size + 1)) + by_ms
        # In place, because others have it mapped.
        os.pwrite(file.fileno(), _OFFSET.pack(offset_ms), 0)
        os.fsync(file.fileno())
    return offset_ms


def _decoded(path: Path, content: bytes) -> int:
    if len(content) != _OFFSET.size:
        raise ValueError(f"{path} is damaged: it should hold {_OFFSET.size} bytes")
    return int(_OFFSET.unpack(content)[0])


def _create(path: Path) -> None:
    """With its content from the first moment: whoever is killed on the way must not leave an empty file."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_bytes(_OFFSET.pack(0))
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    fresh.unlink()
