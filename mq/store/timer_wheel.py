"""The time wheel: which timers are due in which second, as chains of the timer log; the file `timerwheel`.

1,209,600 slots of 32 bytes, twice seven days of seconds. A moment belongs to slot number `time / precision`, which lies
at place `number mod slot count`; the number in the slot says whether its content is of this turn of the wheel.

```
off  size  field
0    8     slot number (time in ms / precision in ms); 0 = never used
8    8     timer log position of the slot's first record
16   8     timer log position of its last record: the head of a chain that runs backwards
24   4     number of records
28   4     0
```
Big-endian. Changes stay in memory until `write`, so that the file never points to log records that a crash could
take away. `sums` tell what each part of the file was when it was written; the checkpoint keeps them.
Source: RocketMQ store/timer/TimerWheel.java, Slot.java.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mq.errors import CorruptRecord
from mq.store.disk import Disk, written_stretches

SLOT_COUNT: Final = 2 * 7 * 86_400

_SLOT = struct.Struct(">qqqii")
#: Slots read at once when time is searched for occupied ones, and slots that have a sum of their own: 128 KiB.
PART_SLOTS: Final = 4096
_PART_BYTES: Final = PART_SLOTS * _SLOT.size
_EMPTY_SUM: Final = zlib.crc32(bytes(_PART_BYTES))


class Slot(NamedTuple):
    """Units: positions in bytes of the timer log; `number` counts slots since 1970."""

    number: int
    first_position: int
    last_position: int
    record_count: int


class TimerWheel:
    def __init__(self, path: Path, disk: Disk, slot_count: int = SLOT_COUNT) -> None:
        self._path = path
        self._disk = disk
        self._slot_count = slot_count
        self._changed: dict[int, Slot | None] = {}
        self._fd = -1
        #: The CRC-32 of each part of the file, as it is on disk.
        self.sums: list[int] = []

    def open(self) -> bool:
        """Open the wheel, or make an empty one; says whether there was one.

        Raises: CorruptRecord: a file of another size, which RocketMQ would not start with either.
        """
        self._disk.make_folder(self._path.parent)
        self._fd = self._disk.open(self._path, os.O_RDWR | os.O_CREAT)
        size = os.fstat(self._fd).st_size
        if size == 0:
            self._disk.resize(self._fd, self._slot_count * _SLOT.size)  # sparse: slots cost disk when they are used
        elif size != self._slot_count * _SLOT.size:
            self.close()
            expected = self._slot_count * _SLOT.size
            raise CorruptRecord(self._path, size, f"the wheel has {expected} bytes, not {size}")
        self.sums = [_EMPTY_SUM] * -(-self._slot_count // PART_SLOTS)
        for begin, end in written_stretches(self._fd, 0):
            self._sum_up(range(begin // _PART_BYTES, -(-end // _PART_BYTES)))
        return size > 0

    def part_of(self, number: int) -> int:
        """Which of the `sums` is about a slot."""
        return number % self._slot_count // PART_SLOTS

    @property
    def slot_count(self) -> int:
        return self._slot_count

    def get(self, number: int) -> Slot | None:
        """The slot of this number; None when it holds nothing (or what another turn of the wheel left there)."""
        place = number % self._slot_count
        if place in self._changed:
            slot = self._changed[place]
        else:
            slot = _slot(*_SLOT.unpack(os.pread(self._fd, _SLOT.size, place * _SLOT.size)))
        return slot if slot is not None and slot.number == number else None

    def add(self, number: int, position: int) -> int:
        """Put the log record at `position` at the head of the slot's chain; returns the one it must point back to.

        That is -1 for the first record of a slot.
        """
        slot = self.get(number)
        first, previous, count = (
            (slot.first_position, slot.last_position, slot.record_count) if slot else (position, -1, 0)
        )
        self._changed[number % self._slot_count] = Slot(number, first, position, count + 1)
        return previous

    def put(self, slot: Slot) -> None:
        self._changed[slot.number % self._slot_count] = slot

    def clear(self, number: int) -> None:
        if self.get(number) is not None:
            self._changed[number % self._slot_count] = None

    def occupied(self, first: int, last: int) -> Iterator[Slot]:
        """The slots from number `first` to `last`, both included, that hold something, in order of time."""
        if last - first >= self._slot_count:  # longer than one turn: what is there may be of any time in between
            yield from sorted(slot for slot in self._read(0, self._slot_count) if first <= slot.number <= last)
            return
        number = first
        while number <= last:
            place = number % self._slot_count
            count = min(PART_SLOTS, self._slot_count - place, last - number + 1)
            yield from (slot for slot in self._read(place, count) if number <= slot.number < number + count)
            number += count

    def write(self) -> None:
        """Bring the changes to disk, where the log records they point to must be already."""
        if not self._changed:
            return
        for place, slot in self._changed.items():
            self._disk.write(self._fd, _SLOT.pack(*slot, 0) if slot else bytes(_SLOT.size), place * _SLOT.size)
        self._disk.sync(self._fd)
        self._sum_up({place // PART_SLOTS for place in self._changed})
        self._changed.clear()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _sum_up(self, parts: Iterable[int]) -> None:
        for part in parts:
            data = os.pread(self._fd, _PART_BYTES, part * _PART_BYTES)
            self.sums[part] = zlib.crc32(data.ljust(_PART_BYTES, b"\0"))

    def _read(self, place: int, count: int) -> list[Slot]:
        """What file and changes hold together now: a `write` in between moves slots from one to the other."""
        data = os.pread(self._fd, count * _SLOT.size, place * _SLOT.size)
        changed = self._changed
        if not changed and data == bytes(len(data)):
            return []
        slots = (
            changed[at] if at in changed else _slot(*fields) for at, fields in enumerate(_SLOT.iter_unpack(data), place)
        )
        return [slot for slot in slots if slot is not None]


def _slot(number: int, first_position: int, last_position: int, count: int, _magic: int) -> Slot | None:
    return Slot(number, first_position, last_position, count) if number > 0 and last_position >= 0 else None
