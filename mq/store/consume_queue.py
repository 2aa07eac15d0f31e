"""A consume queue: where the messages of one queue of one topic lie in the commit log.

```
entry   i64 commit log offset | i32 record size | i64 tag code       20 bytes, 300,000 to a file
```
The entry of queue offset n lies at byte 20 n of the queue's files. New entries wait in memory, where they are served
from, until `flush`; they can always be built again from the log. In SCHEDULE_TOPIC_XXXX the tag code is the time the
message is due. A file that begins before the queue's first entry is padded with (0, 0x7FFFFFFF, 0).
Source: RocketMQ ConsumeQueue.java.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

from mq.errors import CorruptRecord
from mq.store.data_files import file_name, load_starts
from mq.store.disk import Disk

ENTRY = struct.Struct(">qiq")
ENTRY_BYTES: Final = ENTRY.size
_PADDING_BYTES: Final = 0x7FFFFFFF


#: Newest entries of a queue that stay in memory after a flush: 640 bytes a queue.
_KEPT_ENTRIES: Final = 32


class QueueEntry(NamedTuple):
    commit_log_offset: int
    record_bytes: int
    tag_code: int


PADDING_ENTRY: Final = QueueEntry(0, _PADDING_BYTES, 0)
_PADDING: Final = ENTRY.pack(*PADDING_ENTRY)


class ConsumeQueue:
    """One queue.

    Invariants: `max_offset` <= `next_offset`; entries from `tail_start` to `max_offset` are in `tail`, those before
    `flushed_to` in files. `next_offset` counts appended messages, `max_offset` committed ones: only these are seen.
    """

    __slots__ = ("_disk", "_file_bytes", "_starts", "added_bytes", "flushed_to", "folder", "max_offset", "next_offset",
                 "queue_id", "tail", "tail_start", "topic")  # fmt: skip

    def __init__(self, folder: Path, topic: str, queue_id: int, file_bytes: int, disk: Disk) -> None:
        self.folder = folder
        self.topic = topic
        self.queue_id = queue_id
        self.next_offset = 0
        self.max_offset = 0
        #: Bytes of the messages committed since the start: for statistics.
        self.added_bytes = 0
        self.tail = bytearray()
        self.tail_start = 0
        self.flushed_to = 0
        self._file_bytes = file_bytes
        self._starts: list[int] = []
        self._disk = disk

    def load(self) -> None:
        """Find the files. Raises: StoreUnusable: see `load_starts`."""
        self._starts = load_starts(self.folder, self._file_bytes)

    def read(self, queue_offset: int, count: int) -> bytes:
        """The bytes of up to `count` entries from `queue_offset` on, which lies between the first and `max_offset`."""
        count = min(count, self.max_offset - queue_offset)
        if queue_offset >= self.tail_start:
            begin = (queue_offset - self.tail_start) * ENTRY_BYTES
            return bytes(self.tail[begin : begin + count * ENTRY_BYTES])
        on_disk = min(count, self.tail_start - queue_offset)
        data = self.read_files(queue_offset, on_disk)
        if on_disk < count:
            data += bytes(self.tail[: (count - on_disk) * ENTRY_BYTES])
        return data

    def entry(self, queue_offset: int) -> QueueEntry:
        """Raises: CorruptRecord: an entry that cannot be."""
        entry = QueueEntry(*ENTRY.unpack(self.read(queue_offset, 1)))
        if entry.commit_log_offset < 0 or entry.record_bytes <= 0:
            start, at = divmod(queue_offset * ENTRY_BYTES, self._file_bytes)
            path = self.folder / file_name(start * self._file_bytes)
            raise CorruptRecord(
                path, at, f"a queue entry that says {entry.commit_log_offset}, {entry.record_bytes} bytes"
            )
        return entry

    def flush(self) -> list[Path]:
        """Hand the waiting entries to the operating system; returns the files to sync.

        The newest stay in memory as well: that is where consumers who keep up read. Raises: OSError: all wait on then.
        """
        if self.flushed_to == self.max_offset:
            return []
        begin = (self.flushed_to - self.tail_start) * ENTRY_BYTES
        paths = self.write_files(self.flushed_to, bytes(self.tail[begin:]))
        self.flushed_to = self.max_offset
        surplus = len(self.tail) // ENTRY_BYTES - _KEPT_ENTRIES
        if surplus > 0:
            del self.tail[: surplus * ENTRY_BYTES]
            self.tail_start += surplus
        return paths

    # ---- files

    @property
    def first_in_files(self) -> int:
        return self._starts[0] // ENTRY_BYTES if self._starts else self.tail_start

    @property
    def end_of_files(self) -> int:
        """Behind the last entry that the last file has room for."""
        return (self._starts[-1] + self._file_bytes) // ENTRY_BYTES if self._starts else 0

    def read_files(self, queue_offset: int, count: int) -> bytes:
        """What the files hold for these entries; zeros where there is no file."""
        parts = []
        position, end = queue_offset * ENTRY_BYTES, (queue_offset + count) * ENTRY_BYTES
        while position < end:
            start = position // self._file_bytes * self._file_bytes
            length = min(end, start + self._file_bytes) - position
            parts.append(self._read_file(start, position - start, length) if start in self._starts else bytes(length))
            position += length
        return b"".join(parts)

    def write_files(self, queue_offset: int, data: bytes) -> list[Path]:
        """Put entries into the files, making those that are missing; returns the files written.

        A new file that begins before the entries is padded up to them; older files that do not reach it are deleted,
        as the sequence may have no gap. Raises: OSError.
        """
        paths = []
        position, view = queue_offset * ENTRY_BYTES, memoryview(data)
        while view:
            start = position // self._file_bytes * self._file_bytes
            length = min(len(view), start + self._file_bytes - position)
            path = self.folder / file_name(start)
            descriptor = self._disk.open(path) if start in self._starts else self._create(start, position - start)
            try:
                self._disk.write(descriptor, view[:length], position - start)
            finally:
                os.close(descriptor)
            paths.append(path)
            position, view = position + length, view[length:]
        return paths

    def end_on_disk(self, log_end: int) -> int:
        """The queue offset behind the last entry that the files hold: later ones are zeros, or point past the log."""
        low, high = self.first_in_files, self.end_of_files
        while low < high:
            middle = (low + high) // 2
            if self._file_entry(middle).record_bytes > 0:
                low = middle + 1
            else:
                high = middle
        while low > self.first_in_files:
            last = self._file_entry(low - 1)
            if last.record_bytes < _PADDING_BYTES and last.commit_log_offset + last.record_bytes <= log_end:
                return low
            low -= 1
        return 0

    def reset(self, max_offset: int) -> None:
        """Set where the queue ends; everything before is in the files."""
        self.next_offset = self.max_offset = self.tail_start = self.flushed_to = max_offset
        self.tail.clear()

    def cut(self, queue_offset: int) -> None:
        """Zero what the files hold from an entry on, and delete the files that hold nothing before it."""
        position = queue_offset * ENTRY_BYTES
        while self._starts and self._starts[-1] >= position:
            self._disk.remove(self.folder / file_name(self._starts.pop()))
        if not self._starts or self._starts[-1] + self._file_bytes <= position:
            return
        descriptor = self._disk.open(self.folder / file_name(self._starts[-1]))
        try:
            self._disk.zero_from(descriptor, position - self._starts[-1])
        finally:
            os.close(descriptor)

    def remove_before(self, commit_log_offset: int) -> None:
        """Delete the files all of whose messages are gone. The last one stays: it remembers the next offset."""
        while len(self._starts) > 1:
            last = self._file_entry((self._starts[0] + self._file_bytes) // ENTRY_BYTES - 1)
            if last.record_bytes < _PADDING_BYTES and last.commit_log_offset >= commit_log_offset:
                return
            self._disk.remove(self.folder / file_name(self._starts.pop(0)))

    def _file_entry(self, queue_offset: int) -> QueueEntry:
        return QueueEntry(*ENTRY.unpack(self.read_files(queue_offset, 1)))

    def _read_file(self, start: int, at: int, length: int) -> bytes:
        with (self.folder / file_name(start)).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, at)

    def _create(self, start: int, first_at: int) -> int:
        descriptor = self._disk.create_sparse(self.folder / file_name(start), self._file_bytes)
        if self._starts and self._starts[-1] + self._file_bytes != start:
            for old in self._starts:
                self._disk.remove(self.folder / file_name(old))
            self._starts.clear()
        if first_at:
            self._disk.write(descriptor, _PADDING * (first_at // ENTRY_BYTES), 0)
        self._starts.append(start)
        return descriptor
