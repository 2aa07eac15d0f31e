"""The commit log: every message of every topic, one behind the other, in files of one size.

```
file 00000000000000000000           file 00000000001073741824
record | record | ... | blank       record | record | ... | zeros
```
A record never crosses a file: when it and 8 bytes more do not fit, a blank record (`i32 space left, i32 0xCBD43194`)
fills the rest. Records are gathered in memory and written in groups, one `pwrite` each; reading goes through a
read-only map, which Linux keeps coherent with it. Source: RocketMQ docs/en/Design_Store.md, CommitLog.java.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import threading
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Final, NamedTuple

from mq.errors import CorruptRecord, MessageTooLarge
from mq.message.record import COMMIT_LOG_OFFSET_AT, FIXED_BYTES, MAGIC_BLANK, MAGIC_V1, MAGIC_V2
from mq.store.data_files import file_name, load_starts
from mq.store.disk import Disk
from mq.store.scan import HEAD, problem_of

#: Kept free behind every record, so that a blank record always fits.
BLANK_BYTES: Final = 8
#: Beyond every position.
NOWHERE: Final = 1 << 63
_BLANK = struct.Struct(">II")
#: Size, magic, and (at 28) the record's own position: what tells a record's beginning from any other bytes.
_IDENTITY = struct.Struct(">II20xq")
assert _IDENTITY.size == COMMIT_LOG_OFFSET_AT + 8


class LogFile:
    """One file, mapped for reading."""

    __slots__ = ("descriptor", "end", "path", "start", "view")

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        self.path = path
        self.start = int(path.name)
        self.end = self.start + size
        self.descriptor = descriptor
        self.view = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)

    def close(self) -> None:
        self.view.close()
        os.close(self.descriptor)


class Stretch(NamedTuple):
    """Bytes on their way into one file."""

    file: LogFile
    position: int
    parts: list[bytes]


class CommitLog:
    """Invariants: `files` are contiguous; `position` lies in the last one that is in use; what was added since the last
    `take` waits in its stretches, everything before has been handed to the operating system or is on its way there.
    """

    def __init__(self, folder: Path, file_bytes: int, disk: Disk) -> None:
        self.folder = folder
        self.file_bytes = file_bytes
        self.files: list[LogFile] = []
        #: Where the next record will lie, bytes from the start of the log.
        self.position = 0
        #: The end of the file that `position` lies in.
        self.file_end = 0
        #: Held while zeros are written ahead of `position`, from `zeroing_from` on; see zero_ahead.py.
        self.zeroing = threading.Lock()
        self.zeroing_from = NOWHERE
        self._disk = disk
        self._opened_at = 0
        self._current: LogFile | None = None
        self._stretches: list[Stretch] = []
        self._parts: list[bytes] = []
        self._ahead: Future[int] | None = None
        self._ahead_start = 0

    def load(self) -> None:
        """Open the files. Raises: StoreUnusable: see `load_starts`."""
        self._disk.make_folder(self.folder)
        for start in load_starts(self.folder, self.file_bytes):
            self._add_file(start, self._disk.open(self._path(start)))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a file that could not be made ahead is not missed
            self.adopt_ahead()
        for file in self.files:
            file.close()
        self.files.clear()

    # ---- appending

    def continue_at(self, position: int) -> None:
        """Append from here on; recovery has made sure that only zeros follow."""
        self._opened_at = position
        self._use_file(position)

    def _use_file(self, position: int) -> None:
        self.position = position
        self._current = self.file_of(position)
        self.file_end = self._current.end if self._current else position

    def fits(self, size: int) -> bool:
        return self.position + size + BLANK_BYTES <= self.file_end

    def add(self, data: bytes) -> bool:
        """Put a record behind the others of the group; False when it does not fit into the file: `roll` first."""
        end = self.position + len(data)
        if end + BLANK_BYTES > self.file_end:
            return False
        if not self._parts:
            self._begin_stretch()
        self._parts.append(data)
        self.position = end
        return True

    def _begin_stretch(self) -> None:
        assert self._current is not None
        self._stretches.append(Stretch(self._current, self.position, self._parts))

    def roll(self, size: int) -> None:
        """Close the current file with a blank record and go on in the next, which is created if nobody prepared it.

        Raises: MessageTooLarge: `size` fits into no file.  OSError: no next file; nothing has changed then.
        """
        if size + BLANK_BYTES > self.file_bytes:
            raise MessageTooLarge(f"{size} bytes do not fit into a commit log file of {self.file_bytes}")
        self.prepare(self.file_end)
        if self.position < self.file_end:
            if not self._parts:
                self._begin_stretch()
            self._parts.append(_BLANK.pack(self.file_end - self.position, MAGIC_BLANK))
        self._parts = []
        self._use_file(self.file_end)

    def take(self) -> list[Stretch]:
        """What waits to be written; the next record opens a new group."""
        stretches, self._stretches, self._parts = self._stretches, [], []
        return stretches

    def write(self, stretches: list[Stretch]) -> None:
        """May run in a thread, one call at a time. Raises: OSError."""
        for file, position, parts in stretches:
            data = b"".join(parts)
            if position + len(data) > self.zeroing_from:
                self.zeroing.acquire()
                self.zeroing.release()
            self._disk.write(file.descriptor, data, position - file.start)

    def sync(self, stretches: list[Stretch]) -> None:
        """May run in a thread. Raises: OSError."""
        for stretch in stretches:
            self._disk.sync(stretch.file.descriptor)

    def sync_between(self, begin: int, end: int) -> None:
        """Raises: OSError."""
        for file in self.files_between(begin, end):
            self._disk.sync(file.descriptor)

    # ---- reading

    @property
    def min_offset(self) -> int:
        return self.files[0].start if self.files else 0

    def file_of(self, commit_log_offset: int) -> LogFile | None:
        if not self.files:
            return None
        index = (commit_log_offset - self.files[0].start) // self.file_bytes
        return self.files[index] if 0 <= index < len(self.files) else None

    def files_between(self, begin: int, end: int) -> list[LogFile]:
        return [file for file in self.files if file.start < end and begin < file.end]

    def record(self, commit_log_offset: int) -> bytes | None:
        """The record that begins there; None when none does. The caller knows that it has been written."""
        file = self.file_of(commit_log_offset)
        if file is None:
            return None
        at = commit_log_offset - file.start
        if at + _IDENTITY.size > self.file_bytes:
            return None
        size, magic, own_offset = _IDENTITY.unpack_from(file.view, at)
        if magic not in (MAGIC_V1, MAGIC_V2) or own_offset != commit_log_offset or at + size > self.file_bytes:
            return None
        return file.view[at : at + size]

    def queued_record(self, commit_log_offset: int, size: int, topic: str, queue_id: int, queue_offset: int) -> bytes:
        """The record that an entry of a consume queue points to.

        Bytes that were there when the log was opened are checked against their CRC: a disk may forget, and this costs
        0.2 us for 500 bytes. What was written since is in memory still. Raises: CorruptRecord: something else is there.
        """
        file = self.file_of(commit_log_offset)
        if file is None:
            raise CorruptRecord(self.folder, commit_log_offset, f"no file holds message {queue_offset} of {queue_id}")
        at = commit_log_offset - file.start
        data = file.view[at : at + size]
        if len(data) != size or size < FIXED_BYTES:
            raise CorruptRecord(file.path, at, f"no record of {size} bytes, where a queue has one")
        own_size, magic, crc, own_queue_id, own_queue_offset, own_offset, flags = HEAD.unpack_from(data)
        if own_size != size or own_offset != commit_log_offset or (magic != MAGIC_V1 and magic != MAGIC_V2):
            raise CorruptRecord(file.path, at, f"no record of {size} bytes, where a queue has one")
        if own_queue_id != queue_id or own_queue_offset != queue_offset:
            raise CorruptRecord(file.path, at, f"a record that is not message {queue_offset} of its queue")
        if commit_log_offset < self._opened_at and (problem := problem_of(data, flags, crc, topic)) is not None:
            raise CorruptRecord(file.path, at, problem)
        return data

    # ---- whole files

    def prepare(self, start: int) -> None:
        """Have the file that begins at `start`: there already, being made ahead, or made now. Raises: OSError."""
        if self._ahead is not None:
            self.adopt_ahead()
        if self.file_of(start) is None:
            self._add_file(start, self._disk.create(self._path(start), self.file_bytes))

    def prepare_current(self) -> None:
        """Have the file that `position` lies in, or begins. Raises: OSError."""
        self.prepare(self.position // self.file_bytes * self.file_bytes)

    def prepare_ahead(self, executor: Executor) -> None:
        """Have the next file made in a thread when the current one fills up: reserving 1 GiB may take a while."""
        start = self.file_end
        near = min(self.file_bytes // 4, 256 << 20)
        if self._ahead is None and self.file_end - self.position < near and self.file_of(start) is None:
            self._ahead = executor.submit(self._disk.create, self._path(start), self.file_bytes)
            self._ahead_start = start

    def adopt_ahead(self, *, wait: bool = True) -> None:
        """Take over a file made in a thread. Raises: OSError: it could not be made."""
        ahead = self._ahead
        if ahead is not None and (wait or ahead.done()):
            self._ahead = None
            self._add_file(self._ahead_start, ahead.result())

    def release_first(self) -> Path:
        """Forget the oldest file; the caller deletes it."""
        file = self.files.pop(0)
        file.close()
        return file.path

    def remove_last(self) -> None:
        file = self.files.pop()
        file.close()
        self._disk.remove(file.path)

    def reserve_current(self) -> None:
        """Reserve the blocks of a file that RocketMQ, or a copying tool, left sparse. Raises: OSError: no space."""
        if self._current is not None:
            self._disk.reserve(self._current.descriptor, self.file_bytes)

    def _add_file(self, start: int, descriptor: int) -> None:
        self.files.append(LogFile(self._path(start), descriptor, self.file_bytes))

    def _path(self, start: int) -> Path:
        return self.folder / file_name(start)
