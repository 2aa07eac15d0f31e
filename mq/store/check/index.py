"""Index files: headers that may be true, entries that point to records, chains that lead back in time."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable
from pathlib import Path

from mq.store.check.files import mapped
from mq.store.check.report import Part
from mq.store.config import StoreConfig
from mq.store.index_file import ENTRY_BYTES, HEADER_BYTES

_HEADER = struct.Struct(">qqqqii")
_ENTRY = struct.Struct(">iqii")
_SLOT_BYTES = 4


class IndexCheck:
    def __init__(self, config: StoreConfig, is_record: Callable[[int], bool]) -> None:
        """`is_record` says whether a record of the log begins at a position that the log still has."""
        self.part = Part("key index")
        self._folder = config.index_path
        self._slot_count = config.index_slot_count
        self._entry_count = config.index_entry_count
        self._is_record = is_record

    def run(self) -> None:
        for path in sorted(self._folder.iterdir()) if self._folder.is_dir() else []:
            if not path.name.isdecimal():
                self.part.add_note(f"{path} is no index file: both brokers skip it")
                continue
            self.part.file_count += 1
            self._check_file(path)

    def _check_file(self, path: Path) -> None:
        entries_at = HEADER_BYTES + self._slot_count * _SLOT_BYTES
        file_bytes = entries_at + self._entry_count * ENTRY_BYTES
        size = path.stat().st_size
        if size != file_bytes:
            what = (
                f"{size} bytes, where {self._slot_count} slots and {self._entry_count} entries take {file_bytes}: "
                "damage, or maxHashSlotNum and maxIndexNum are others (--set)"
            )
            self.part.add_damage(path, min(size, file_bytes), what)
            return
        with mapped(path) as (_descriptor, view):
            begin_ms, end_ms, begin, end, used_slots, count = _HEADER.unpack_from(view)
            count = max(count, 1)
            if not (0 <= begin <= end and 0 <= begin_ms <= end_ms and count <= self._entry_count):
                what = f"a header that says {count} entries from {begin} to {end}, {begin_ms} to {end_ms} ms"
                self.part.add_damage(path, 0, what)
                return
            if not 0 <= used_slots < count:
                self.part.add_damage(path, 32, f"a header that says {used_slots} used slots of {count - 1} entries")
            newest = array("i", bytes(self._slot_count * _SLOT_BYTES))
            last = begin
            for number in range(1, count):
                at = entries_at + number * ENTRY_BYTES
                key_hash, commit_log_offset, _seconds, previous = _ENTRY.unpack_from(view, at)
                slot = abs(key_hash) % self._slot_count
                self.part.items += 1
                if not last <= commit_log_offset <= end:
                    self.part.add_damage(path, at, f"entry {number} says message {commit_log_offset}, out of order")
                elif previous != newest[slot]:
                    what = f"entry {number} says entry {previous} before it, that is {newest[slot]}"
                    self.part.add_damage(path, at, what)
                elif not self._is_record(commit_log_offset):
                    self.part.add_damage(path, at, f"entry {number}: no record begins at {commit_log_offset}")
                else:
                    last = commit_log_offset
                newest[slot] = number
            self._check_slots(path, view[HEADER_BYTES:entries_at], newest, count)

    def _check_slots(self, path: Path, data: bytes, newest: array[int], count: int) -> None:
        """RocketMQ writes a slot before the header counts its entry, so later entries may be told."""
        slots = array("i", data)
        if sys.byteorder == "little":
            slots.byteswap()
        if slots == newest:
            return
        for place, (found, expected) in enumerate(zip(slots, newest, strict=True)):
            if found != expected and found < count:
                what = f"slot {place} leads to entry {found}, the newest is {expected}"
                self.part.add_damage(path, HEADER_BYTES + place * _SLOT_BYTES, what)
