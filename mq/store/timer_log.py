"""The timer log: one small record per timer that is on the wheel, chained per slot; the folder `timerlog`.

Files of 104,857,600 bytes, named by the position of their first byte, 20 digits. Records do not cross files: where
fewer than a record and 16 bytes are left, the file ends with a blank of 16 bytes.

```
off  size  field                                  blank:
0    4     52, the record's size                  4  bytes left in the file
4    8     position of the slot's record before   8  0
           this one, -1 for none                  4  0xCBD43194
12   4     magic: 1 always, 2 roll, 4 delete
16   8     time when it was put on the wheel, ms
24   4     milliseconds from then to the slot
28   8     commit log offset of the message
36   4     size of the message's record
40   4     Java hash of the real topic
44   8     0
```
Big-endian. Everything here follows from the timer topic and can be made again from it; what the log saves is reading
every waiting message at each start. Source: RocketMQ store/timer/TimerLog.java, TimerMessageStore.doEnqueue.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mq.errors import CorruptRecord
from mq.store.disk import Disk

FILE_BYTES: Final = 100 << 20
MAGIC_DEFAULT: Final = 1
MAGIC_ROLL: Final = 2
MAGIC_DELETE: Final = 4

_RECORD = struct.Struct(">iqiqiqiiq")
RECORD_BYTES: Final = _RECORD.size
_PREVIOUS_AT: Final = 4
_NONE: Final = struct.pack(">q", -1)
_BLANK = struct.Struct(">iqI")
_BLANK_MAGIC: Final = 0xCBD43194


class TimerRecord(NamedTuple):
    previous_position: int
    magic: int
    write_time_ms: int
    delay_ms: int
    commit_log_offset: int
    record_bytes: int
    topic_hash: int

    @property
    def slot_time_ms(self) -> int:
        return self.write_time_ms + self.delay_ms


class TimerLog:
    def __init__(self, folder: Path, disk: Disk, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder
        self._disk = disk
        self._file_bytes = file_bytes
        self._fds: dict[int, int] = {}
        #: Where the next record goes; `open` leaves it at the end of the last file, `cut` sets it.
        self.end_position = 0

    def open(self) -> None:
        """Open every file there is.

        Raises: CorruptRecord: a name that is no position, a file of another size, a file missing in the middle.
        """
        self._disk.make_folder(self._folder)
        positions = sorted(self._position(path) for path in self._folder.iterdir())
        for index, position in enumerate(positions):
            if position != positions[0] + index * self._file_bytes:
                raise CorruptRecord(self._folder, position, f"the file before {position:020d} is missing")
            self._fds[position] = self._disk.open(self._path(position))
        self.end_position = positions[-1] + self._file_bytes if positions else 0

    @property
    def min_position(self) -> int:
        return min(self._fds, default=self.end_position)

    def append(self, record: TimerRecord) -> int:
        """Write one record at the end and return its position; it is on disk after `sync`."""
        left = self._file_bytes - self.end_position % self._file_bytes
        if left < RECORD_BYTES + _BLANK.size:
            self._write(self.end_position, _BLANK.pack(left, 0, _BLANK_MAGIC))
            self.end_position += left
        position = self.end_position
        self._write(position, _RECORD.pack(RECORD_BYTES, *record, 0))
        self.end_position += RECORD_BYTES
        return position

    def next_position(self) -> int:
        """Where `append` will put its record."""
        left = self._file_bytes - self.end_position % self._file_bytes
        return self.end_position + (left if left < RECORD_BYTES + _BLANK.size else 0)

    def read(self, position: int) -> TimerRecord | None:
        """The record at a position; None where none was written, or where the file is gone."""
        fd = self._fds.get(position - position % self._file_bytes)
        if fd is None or position < 0:
            return None
        data = os.pread(fd, RECORD_BYTES, position % self._file_bytes)
        if len(data) < RECORD_BYTES:
            return None
        size, *fields, _reserved = _RECORD.unpack(data)
        record = TimerRecord(*fields)
        is_sound = size == RECORD_BYTES and record.magic & MAGIC_DEFAULT and record.previous_position < position
        return record if is_sound else None

    def end_chain(self, position: int) -> None:
        """Make the record at a position the oldest of its slot."""
        start = position - position % self._file_bytes
        self._disk.write(self._fds[start], _NONE, position - start + _PREVIOUS_AT)

    def scan(self, position: int) -> Iterator[tuple[int, TimerRecord]]:
        """Every record from `position` on, with where it lies, up to the first place that holds none."""
        while True:
            record = self.read(position)
            if record is not None:
                yield position, record
                position += RECORD_BYTES
                continue
            left = self._file_bytes - position % self._file_bytes
            if left >= RECORD_BYTES + _BLANK.size or not self._fds.get(position + left):
                return
            position += left

    def cut(self, position: int) -> None:
        """Make `position` the end: later files go, the rest of its file becomes zeros, so that no old record shows."""
        self.end_position = position
        for start in [start for start in self._fds if start > position]:
            self._delete(start)
        fd = self._fds.get(position - position % self._file_bytes)
        if fd is not None:
            self._disk.resize(fd, position % self._file_bytes)
            self._disk.resize(fd, self._file_bytes)

    def delete_before(self, commit_log_offset: int) -> None:
        """Drop whole files, the last excepted, whose messages are all gone from the commit log."""
        for start in sorted(self._fds)[:-1]:
            end = self._file_bytes // RECORD_BYTES * RECORD_BYTES
            while end > 0 and (record := self.read(start + end - RECORD_BYTES)) is None:
                end -= RECORD_BYTES
            if end > 0 and record is not None and record.commit_log_offset >= commit_log_offset:
                return
            self._delete(start)

    def sync(self) -> None:
        for start in sorted(self._fds)[-2:]:  # older files are full, and were synced when the next one was begun
            self._disk.sync(self._fds[start])

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def _write(self, position: int, data: bytes) -> None:
        start = position - position % self._file_bytes
        if start not in self._fds:
            self._fds[start] = self._disk.open(self._path(start), os.O_RDWR | os.O_CREAT)
            self._disk.resize(self._fds[start], self._file_bytes)
        self._disk.write(self._fds[start], data, position - start)

    def _delete(self, start: int) -> None:
        os.close(self._fds.pop(start))
        self._disk.unlink(self._path(start))

    def _path(self, position: int) -> Path:
        return self._folder / f"{position:020d}"

    def _position(self, path: Path) -> int:
        if not path.name.isdigit():
            raise CorruptRecord(path, 0, "a file that is none of the timer log lies in its folder")
        if path.stat().st_size != self._file_bytes:
            raise CorruptRecord(path, 0, f"a timer log file has {self._file_bytes} bytes, not {path.stat().st_size}")
        return int(path.name)
