"""Wall-clock time for the queue, in milliseconds, as an argument that tests and the demo can move.

Everything stored or compared with stored times (store timestamps, delays, timers, transaction checks) reads a `Clock`.
Everything about liveness (heartbeats, leases, timeouts) uses the loop's monotonic time instead, which nobody moves.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path
from typing import Protocol


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
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(struct.pack(">q", 0))
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def now_ms(self) -> int:
        (offset_ms,) = struct.unpack_from(">q", self._map)
        return time.time_ns() // 1_000_000 + int(offset_ms)


def move_offset_file(path: Path, by_ms: int) -> int:
    """Add `by_ms` to the offset in the file (created when missing) and return the new offset in milliseconds."""
    offset_ms: int = struct.unpack(">q", path.read_bytes())[0] if path.exists() else 0
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(struct.pack(">q", offset_ms + by_ms))
    return offset_ms + by_ms
