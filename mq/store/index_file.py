"""One index file: a hash table from keys to commit log offsets, in the file's own bytes.

```
header   i64 store time of first, last message | i64 commit log offset of first, last | i32 used slots | i32 entry count
slots    i32 number of the newest entry of the chain, 0 for none                                       5,000,000 times
entries  i32 key hash | i64 commit log offset | i32 seconds since first | i32 entry before it        20,000,000 times
```
Entry 0 is never used, and the count includes it. The file is sparse and written through a map: it may always be built
again from the log. The blocks written next are reserved before, as a full disk under a map would kill the process.
Source: RocketMQ IndexFile.java, IndexHeader.java.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final

_HEADER = struct.Struct(">qqqqii")
_SLOT = struct.Struct(">i")
_ENTRY = struct.Struct(">iqii")
HEADER_BYTES: Final = _HEADER.size
ENTRY_BYTES: Final = _ENTRY.size
_MAX_SECONDS: Final = 0x7FFFFFFF
#: Entries are reserved this many bytes at a time.
_RESERVE_BYTES: Final = 4 << 20


def index_file_bytes(slot_count: int, entry_count: int) -> int:
    """The size of a file of this geometry."""
    return HEADER_BYTES + slot_count * _SLOT.size + entry_count * ENTRY_BYTES


class IndexFile:
    def __init__(self, path: Path, slot_count: int, entry_count: int) -> None:
        """Open the file, or make it; one that is too short is lengthened. Raises: OSError."""
        self.path = path
        self._slot_count = slot_count
        self._entry_count = entry_count
        self._entries_at = HEADER_BYTES + slot_count * _SLOT.size
        self._file_bytes = index_file_bytes(slot_count, entry_count)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(self.descriptor).st_size < self._file_bytes:
                os.ftruncate(self.descriptor, self._file_bytes)
            self._view = mmap.mmap(self.descriptor, self._file_bytes)
        except BaseException:
            os.close(self.descriptor)
            raise
        self.begin_ms: int
        self.end_ms: int
        self.begin_offset: int
        self.end_offset: int
        self._used_slots: int
        self._count: int
        header = _HEADER.unpack_from(self._view)
        self.begin_ms, self.end_ms, self.begin_offset, self.end_offset, self._used_slots, self._count = header
        self._count = max(self._count, 1)
        self._reserved_to = 0

    @classmethod
    def create(cls, path: Path, slot_count: int, entry_count: int, last: IndexFile | None) -> IndexFile:
        """A new file behind `last`, with whose end it begins until it has an entry of its own."""
        file = cls(path, slot_count, entry_count)
        if last is not None:
            file.begin_ms = file.end_ms = last.end_ms
            file.begin_offset = file.end_offset = last.end_offset
        file.write_header()
        return file

    @property
    def is_full(self) -> bool:
        return self._count >= self._entry_count

    @property
    def is_empty(self) -> bool:
        return self._count <= 1

    @property
    def is_sound(self) -> bool:
        """Whether the header may be true; the caller deletes a file of which this does not hold."""
        in_order = 0 <= self.begin_offset <= self.end_offset and self.begin_ms >= 0
        return in_order and self._count <= self._entry_count and 0 <= self._used_slots < self._count

    def slots_sum(self) -> int:
        """The CRC-32 of header and slots: 20 ms for RocketMQ's five million."""
        with memoryview(self._view) as view, view[: self._entries_at] as head:
            return zlib.crc32(head)

    def undo_uncounted(self) -> None:
        """Take back the entries a killed process made after its last `write_header`: slots lead to them already."""
        number = self._count
        while number < self._entry_count and any(self._entry(number)):
            number += 1
        while number > self._count:
            number -= 1
            key_hash, _offset, _seconds, previous = self._entry(number)
            slot_at = HEADER_BYTES + abs(key_hash) % self._slot_count * 4
            if _SLOT.unpack_from(self._view, slot_at)[0] == number:
                _SLOT.pack_into(self._view, slot_at, previous)

    def reserve(self, count: int) -> None:
        """Reserve the blocks that the next entries go to. Raises: OSError: no space."""
        if self._reserved_to == 0:
            os.posix_fallocate(self.descriptor, 0, self._entries_at)
        begin = self._entries_at + self._count * ENTRY_BYTES
        if begin + count * ENTRY_BYTES > self._reserved_to:
            self._reserved_to = begin + count * ENTRY_BYTES + _RESERVE_BYTES
            os.posix_fallocate(self.descriptor, begin, min(self._reserved_to, self._file_bytes) - begin)

    def put(self, keys: list[tuple[int, int, int]]) -> int:
        """Add entries of hash, commit log offset and store time; returns how many there was room for.

        The header is written last, so that a half-done call does not count. One call for many: 0.4 us each for 0.6.
        Raises: OSError: no space.
        """
        keys = keys[: self._entry_count - self._count]
        self.reserve(len(keys))
        view, slot_count, entries_at, count = self._view, self._slot_count, self._entries_at, self._count
        slot, put_slot, put_entry = _SLOT.unpack_from, _SLOT.pack_into, _ENTRY.pack_into
        for key_hash, commit_log_offset, store_timestamp_ms in keys:
            slot_at = HEADER_BYTES + key_hash % slot_count * 4
            (previous,) = slot(view, slot_at)
            if not 0 < previous < count:
                previous = 0
                self._used_slots += 1
            seconds = (store_timestamp_ms - self.begin_ms) // 1000 if self.begin_ms > 0 else 0
            if not 0 <= seconds <= _MAX_SECONDS:
                seconds = 0 if seconds < 0 else _MAX_SECONDS
            put_entry(view, entries_at + count * ENTRY_BYTES, key_hash, commit_log_offset, seconds, previous)
            put_slot(view, slot_at, count)
            if count == 1:
                self.begin_ms, self.begin_offset = store_timestamp_ms, commit_log_offset
            count += 1
        if keys:
            self._count = count
            _hash, self.end_offset, self.end_ms = keys[-1]
        self.write_header()
        return len(keys)

    def write_header(self) -> None:
        _HEADER.pack_into(
            self._view, 0, self.begin_ms, self.end_ms, self.begin_offset, self.end_offset, self._used_slots, self._count
        )

    def find(self, key_hash: int, max_count: int, begin_ms: int, end_ms: int) -> list[int]:
        """Commit log offsets under a hash, newest first; as times are kept in seconds, some may lie just outside."""
        found: list[int] = []
        (number,) = _SLOT.unpack_from(self._view, HEADER_BYTES + key_hash % self._slot_count * 4)
        limit = self._count
        while 0 < number < limit and len(found) < max_count:
            own_hash, commit_log_offset, seconds, previous = self._entry(number)
            stored_ms = self.begin_ms + seconds * 1000
            if own_hash == key_hash and begin_ms - 1000 < stored_ms <= end_ms:
                found.append(commit_log_offset)
            if stored_ms <= begin_ms - 1000:
                break
            limit, number = number, previous  # chains lead back in time; one that does not is damaged
        return found

    def _entry(self, number: int) -> tuple[int, int, int, int]:
        key_hash, commit_log_offset, seconds, previous = _ENTRY.unpack_from(
            self._view, self._entries_at + number * ENTRY_BYTES
        )
        return key_hash, commit_log_offset, seconds, previous

    def close(self) -> None:
        self._view.close()
        os.close(self.descriptor)

    def remove(self) -> None:
        self.close()
        self.path.unlink()
