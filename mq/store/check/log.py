"""The commit log, record by record: sizes, magic, own position, CRC; and whether something follows the end.

Behind a bad place the next record is looked for, so that one damage does not hide the next.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mq.message.record import MAGIC_V1, MAGIC_V2
from mq.store.check.files import DataFile, data_files, mapped
from mq.store.check.report import Part
from mq.store.disk import is_zero, written_chunks
from mq.store.scan import Scan, ScannedRecord

_MAGICS: Final = tuple(magic.to_bytes(4, "big") for magic in (MAGIC_V1, MAGIC_V2))
_MAGIC_AT: Final = 4

RecordVisitor = Callable[[ScannedRecord], None]


@dataclass
class LogShape:
    """Where the log begins and ends, and when its last message was stored; -1: it has none."""

    begin: int = 0
    end: int = 0
    last_timestamp_ms: int = -1


class LogCheck:
    """`on_record` gets every sound record, `on_file_end` is called behind each file."""

    def __init__(
        self, folder: Path, *, is_clean: bool, on_record: RecordVisitor, on_file_end: Callable[[], None]
    ) -> None:
        self.part = Part("commit log")
        self.shape = LogShape()
        self.files: list[DataFile] = []
        self._folder = folder
        self._is_clean = is_clean
        self._on_record = on_record
        self._on_file_end = on_file_end
        #: A place where no record is, which is damage if records follow and may be the end if none do.
        self._open: tuple[DataFile, int, str] | None = None

    def run(self) -> None:
        self.files = data_files(self._folder, None, self.part)
        self.shape.begin = self.shape.end = self.files[0].start if self.files else 0
        for file in self.files:
            with mapped(file.path) as (descriptor, view):
                self._check_file(file, descriptor, view)
            self._on_file_end()
        self._judge_end()

    def _check_file(self, file: DataFile, descriptor: int, view: mmap.mmap) -> None:
        position: int | None = file.start
        while position is not None:
            scan = Scan(view, file.start, position)
            for record in scan:
                self._settle_open()
                self.part.items += 1
                self.shape.end, self.shape.last_timestamp_ms = record[0] + record[1], record[6]
                self._on_record(record)
            if scan.is_full:
                self._settle_open()
                self.shape.end = scan.position
                return
            at = scan.position - file.start
            if self._open is None:
                self._open = (file, at, scan.damage or "zeros where a record should be")
            position = _next_record(descriptor, view, file.start, at + 1)

    def _settle_open(self) -> None:
        """A record follows, so the place before it was not the end."""
        if self._open is not None:
            file, at, what = self._open
            self.part.add_damage(file.path, at, f"{what}, and records follow")
            self._open = None

    def _judge_end(self) -> None:
        if self._open is None:
            return
        file, at, what = self._open
        with mapped(file.path) as (descriptor, _view):
            is_rest_zero = all(is_zero(chunk) for _at, chunk in written_chunks(descriptor, at))
        if is_rest_zero:
            return
        if self._is_clean:
            self.part.add_damage(file.path, at, f"{what}, although the store was stopped cleanly")
        else:
            self.part.add_note(f"{file.path} at byte {at}: {what}: the torn end, which the next start cuts off")


def _next_record(descriptor: int, view: mmap.mmap, start: int, begin: int) -> int | None:
    """The position of the first whole record from byte `begin` of a file on."""
    for at, chunk in written_chunks(descriptor, begin, overlap_bytes=8):
        candidates = []
        for magic in _MAGICS:
            found = chunk.find(magic, _MAGIC_AT)
            while found >= 0:
                candidates.append(start + at + found - _MAGIC_AT)
                found = chunk.find(magic, found + 1)
        for candidate in sorted(candidates):
            if next(iter(Scan(view, start, candidate)), None) is not None:
                return candidate
    return None
