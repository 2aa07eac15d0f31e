"""Timers: the checkpoint, every chain of the wheel, and whether each waiting record of the log is on the wheel."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mq.errors import CorruptRecord
from mq.store import timer_checkpoint
from mq.store.check.files import data_files, mapped
from mq.store.check.report import Part
from mq.store.disk import is_zero, written_chunks
from mq.store.timer_checkpoint import TimerCheckpoint
from mq.store.timer_wheel import SLOT_COUNT

_RECORD = struct.Struct(">iqiqiqiiq")
_BLANK = struct.Struct(">iqI")
_BLANK_MAGIC: Final = 0xCBD43194
_SLOT = struct.Struct(">qqqii")
_DEFAULT_PRECISION_MS: Final = 1000


class TimerCheck:
    def __init__(self, root: Path, *, is_clean: bool) -> None:
        self.part = Part("timers")
        self._root = root
        self._is_clean = is_clean
        #: Slot number, position before it in the chain, and file and offset of each record of the log, by position.
        self._records: dict[int, tuple[int, int, Path, int]] = {}

    def run(self) -> None:
        checkpoint = self._checkpoint()
        if checkpoint is None:
            return
        precision_ms = checkpoint.precision_ms or _DEFAULT_PRECISION_MS
        self._read_log(precision_ms)
        on_wheel = self._check_wheel(checkpoint.last_read_time_ms // precision_ms)
        # Those due until the last flush may have been delivered and taken off; later ones can only be on the wheel.
        waiting_from = max(checkpoint.timestamp_ms, checkpoint.last_read_time_ms) // precision_ms + 1
        for position, (slot, _previous, path, at) in self._records.items():
            is_flushed = position < checkpoint.timer_log_position
            if checkpoint.timestamp_ms and slot >= waiting_from and is_flushed and position not in on_wheel:
                self.part.add_damage(path, at, f"a timer of slot {slot} that is not on the wheel")

    def _checkpoint(self) -> TimerCheckpoint | None:
        path = self._root / "config" / "timercheck"
        try:
            checkpoint = timer_checkpoint.load(path)
        except CorruptRecord as error:
            self.part.add_damage(path, error.position, error.reason)
            return None
        if checkpoint is None:
            if (self._root / "timerwheel").exists():
                self.part.add_damage(path, None, "missing beside a wheel: timers would be delivered again")
            return None
        self.part.file_count += 1
        return checkpoint

    def _read_log(self, precision_ms: int) -> None:
        for file in data_files(self._root / "timerlog", None, self.part):
            with mapped(file.path) as (_descriptor, view):
                at = 0
                while at + _RECORD.size <= file.size:
                    size, previous, magic, written_ms, delay_ms, *_ = _RECORD.unpack_from(view, at)
                    if size != _RECORD.size or not 0 < magic < 8:
                        break
                    slot = (written_ms + delay_ms) // precision_ms
                    self._records[file.start + at] = (slot, previous, file.path, at)
                    self.part.items += 1
                    at += _RECORD.size
                left = file.size - at
                is_blank = left >= _BLANK.size and _BLANK.unpack_from(view, at) == (left, 0, _BLANK_MAGIC)
                # Beyond the checkpoint a crash may have left anything; zeros mean that the log ends here.
                if self._is_clean and not is_blank and any(view[at : at + _RECORD.size]):
                    self.part.add_damage(file.path, at, "no record of the timer log begins here")

    def _check_wheel(self, read_slot: int) -> set[int]:
        """The positions of all records that the wheel leads to."""
        path = self._root / "timerwheel"
        found: set[int] = set()
        size = path.stat().st_size if path.exists() else 0
        if size == 0:
            if self._records:
                self.part.add_damage(path, None, "missing, but there is a timer log")
            return found
        self.part.file_count += 1
        if size != SLOT_COUNT * _SLOT.size:
            what = f"{size} bytes, where a wheel has {SLOT_COUNT * _SLOT.size}: RocketMQ does not start"
            self.part.add_damage(path, size, what)
            return found
        for place, (number, _first, last, _count, _magic) in _slots(path):
            if number < read_slot or last < 0:
                continue
            if number % SLOT_COUNT != place:
                self.part.add_damage(path, place * _SLOT.size, f"slot {number} in the place of {place}")
                continue
            problem = self._follow(number, last, found)
            if problem is not None:
                self.part.add_damage(path, place * _SLOT.size, problem)
        return found

    def _follow(self, number: int, position: int, found: set[int]) -> str | None:
        first = min(self._records, default=0)
        while position >= first and position not in found:
            record = self._records.get(position)
            if record is None or record[0] != number:
                return f"slot {number} leads to {position} of the timer log, where no record of it is"
            found.add(position)
            position = record[1]
        return None


def _slots(path: Path) -> Iterator[tuple[int, tuple[int, int, int, int, int]]]:
    """Place and fields of every slot that is not empty."""
    with path.open("rb", buffering=0) as file:
        for at, data in written_chunks(file.fileno(), 0):  # begins with a page, so with a slot
            if is_zero(data):
                continue
            for place, fields in enumerate(_SLOT.iter_unpack(data), at // _SLOT.size):
                if fields[0] > 0:
                    yield place, fields
