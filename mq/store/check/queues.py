"""Consume queues, held against the log: missing entries, wrong ones, and such that point to nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mq.message import sys_flag
from mq.store.check.files import DataFile, data_files
from mq.store.check.log import LogCheck
from mq.store.check.report import Part
from mq.store.config import StoreConfig
from mq.store.consume_queue import ENTRY, ENTRY_BYTES, PADDING_ENTRY
from mq.store.scan import ScannedRecord
from mq.store.tag_code import SCHEDULE_TOPIC, due_ms, tag_code

_TRANSACTION_OPEN: Final = (sys_flag.TRANSACTION_PREPARED, sys_flag.TRANSACTION_ROLLBACK)
#: Tag codes up to here are addresses in `consumequeue_ext`, which RocketMQ may have written.
_MAX_EXT_ADDRESS: Final = -(2**31) - 1


class QueueFiles:
    """One queue's entries as its files have them."""

    def __init__(self, folder: Path, part: Part) -> None:
        self.folder = folder
        self.files: list[DataFile] = data_files(folder, None, part)
        self.file_bytes = self.files[0].size if self.files else 0
        #: Behind the last entry that the log confirmed.
        self.confirmed_to = 0

    def read(self, queue_offset: int, count: int) -> bytes:
        """The bytes of `count` entries; zeros where no file has them."""
        data = bytearray(count * ENTRY_BYTES)
        begin, end = queue_offset * ENTRY_BYTES, (queue_offset + count) * ENTRY_BYTES
        for file in self.files:
            low, high = max(begin, file.start), min(end, file.start + file.size)
            if low < high:
                with file.path.open("rb", buffering=0) as opened:
                    data[low - begin : high - begin] = os.pread(opened.fileno(), high - low, low - file.start)
        return bytes(data)

    def written(self, begin: int, end: int) -> bytes:
        """The entries between two offsets, without the zeros behind them: most of a queue's last file is such."""
        data = self.read(begin, max(end - begin, 0))
        return data[: -(-len(data.rstrip(b"\0")) // ENTRY_BYTES) * ENTRY_BYTES]

    def place_of(self, queue_offset: int) -> tuple[Path, int]:
        """File and offset of an entry."""
        position = queue_offset * ENTRY_BYTES
        for file in self.files:
            if file.start <= position < file.start + file.size:
                return file.path, position - file.start
        return self.folder, position

    def end(self) -> int:
        return (self.files[-1].start + self.file_bytes) // ENTRY_BYTES if self.files else 0


class QueueCheck:
    def __init__(self, config: StoreConfig, topics: set[str] | None, *, is_clean: bool) -> None:
        """`topics` are those the store still has; None: unknown. Records of others have no queue any more."""
        self.part = Part("consume queues")
        self._folder = config.consume_queue_path
        self._levels_ms = config.delay_levels_ms
        self._topics = topics
        self._is_clean = is_clean
        self._queues: dict[tuple[str, int], QueueFiles] = {}
        self._runs: dict[tuple[bytes, int], tuple[int, bytearray]] = {}
        self._is_absent = not self._folder.is_dir()
        self._missing: dict[tuple[str, int], list[int]] = {}
        #: Queues with the stretches of entries for which the log had no record.
        self._unconfirmed: list[tuple[QueueFiles, int, int]] = []

    def load(self) -> None:
        if self._is_absent:
            self.part.add_note(f"{self._folder} is absent: the next start builds all queues from the log")
            return
        for topic in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            for folder in sorted(path for path in topic.iterdir() if path.is_dir() and path.name.isdecimal()):
                self._queues[topic.name, int(folder.name)] = QueueFiles(folder, self.part)

    def take(self, record: ScannedRecord) -> None:
        commit_log_offset, size, topic, queue_id, queue_offset, flags, stored_ms, text = record
        if self._is_absent or flags & sys_flag.TRANSACTION_MASK in _TRANSACTION_OPEN:
            return
        key = (topic, queue_id)
        run = self._runs.get(key)
        if run is None or run[0] + len(run[1]) // ENTRY_BYTES != queue_offset:
            if run is not None:
                self._compare(key, *run)
            run = self._runs[key] = (queue_offset, bytearray())
        is_scheduled = topic == SCHEDULE_TOPIC.encode()
        code = due_ms(text, stored_ms, self._levels_ms) if is_scheduled else tag_code(text)
        run[1].extend(ENTRY.pack(commit_log_offset, size, code))

    def file_ended(self) -> None:
        for key, run in self._runs.items():
            self._compare(key, *run)
        self._runs.clear()

    def finish(self, log: LogCheck) -> None:
        named = {(found.path, found.offset) for found in log.part.damage}
        behind = [(queue, queue.confirmed_to, queue.end()) for queue in self._queues.values()]
        for queue, begin, end in self._unconfirmed + behind:
            for at, path, offset in self._unconfirmed_records(queue, begin, end, log):
                if (path, offset) not in named:
                    what = f"not message {at} of queue {queue.folder}, which points here"
                    self.part.add_damage(path, offset, what)
        for (topic, queue_id), missing in self._missing.items():
            self._judge_missing(topic, queue_id, missing)
        for queue in self._queues.values():
            self._check_rest(queue, log.shape.end)

    def _compare(self, key: tuple[bytes, int], first: int, entries: bytearray) -> None:
        topic, queue_id = key[0].decode(errors="replace"), key[1]
        queue = self._queues.get((topic, queue_id))
        found = queue.read(first, len(entries) // ENTRY_BYTES) if queue else bytes(len(entries))
        for at, (expected, actual) in enumerate(zip(_entries(entries), _entries(found), strict=True), first):
            if expected == actual or (actual[:2] == expected[:2] and actual[2] <= _MAX_EXT_ADDRESS):
                self.part.items += 1
            elif actual == (0, 0, 0):
                self._missing.setdefault((topic, queue_id), []).append(at)
            elif queue is not None:
                what = f"the entry of message {at} says {actual}, the log says {expected}"
                self.part.add_damage(*queue.place_of(at), what)
        if queue is not None and 0 <= first <= queue.end():  # else the number itself is damaged
            if first > queue.confirmed_to:
                self._unconfirmed.append((queue, queue.confirmed_to, first))
            queue.confirmed_to = max(queue.confirmed_to, first + len(entries) // ENTRY_BYTES)

    def _unconfirmed_records(
        self, queue: QueueFiles, begin: int, end: int, log: LogCheck
    ) -> Iterator[tuple[int, Path, int]]:
        """Where entries point to without a record that answers: it names another queue, or is damaged."""
        for at, entry in enumerate(_entries(queue.written(begin, end)), begin):
            position = entry[0]
            file = next((file for file in log.files if file.start <= position < file.start + file.size), None)
            is_padding = entry in ((0, 0, 0), PADDING_ENTRY) or entry[1] <= 0
            if not is_padding and file is not None and position < log.shape.end:
                yield at, file.path, position - file.start

    def _judge_missing(self, topic: str, queue_id: int, missing: list[int]) -> None:
        queue = self._queues.get((topic, queue_id))
        what = f"{len(missing)} messages of the log from {missing[0]} on have no entry"
        if queue is None and self._topics is not None and topic not in self._topics:
            self.part.add_note(f"topic {topic} was deleted; {what}")
        elif not self._is_clean and missing[-1] - missing[0] + 1 == len(missing):
            self.part.add_note(f"queue {queue_id} of {topic}: {what}: after a crash the next start writes them")
        else:
            folder = self._folder / topic / str(queue_id)
            self.part.add_damage(*(queue.place_of(missing[0]) if queue else (folder, 0)), what)

    def _check_rest(self, queue: QueueFiles, log_end: int) -> None:
        """Behind what the log confirmed there is nothing, or what a cut-off end of the log has left."""
        begin = queue.confirmed_to
        for at, (commit_log_offset, size, code) in enumerate(_entries(queue.written(begin, queue.end())), begin):
            if (commit_log_offset, size, code) in ((0, 0, 0), PADDING_ENTRY):
                continue
            if not (commit_log_offset >= 0 < size):
                self.part.add_damage(*queue.place_of(at), f"no entry: {commit_log_offset}, {size} bytes")
            elif commit_log_offset + size > log_end and not self._is_clean:
                self.part.add_note(f"{queue.folder}: entry {at} points behind the log: the next start takes it away")
            elif commit_log_offset + size > log_end:
                self.part.add_damage(*queue.place_of(at), f"points to {commit_log_offset}, the log ends at {log_end}")


def _entries(data: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    return ENTRY.iter_unpack(data)
