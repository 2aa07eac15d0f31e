"""Opening a store: find where the log ends, and make the consume queues agree with it.

The log is walked from the recovery point, or from its beginning when there is none to believe. What the records say is
compared with the queues, 20 bytes a message, and differences are written: missing, torn and wrong entries are repaired
alike. The log ends at the first bytes that are no record. Nothing may follow them but zeros:

- A clean stop leaves nothing, and a killed process the beginning of what it wrote last, never a hole. So a record
  *behind* the end means damage, and the store is refused with file and position.
- A power cut may tear the last group, in any order of its pages. After what may have been one, up to 8 MiB behind the
  end are cut off; they were not acknowledged, and are kept in the folder `cut` all the same.
"""

from __future__ import annotations

import logging
import mmap
import struct
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Final

from mq.errors import CorruptRecord, InvalidMessage, StoreUnusable
from mq.message import sys_flag
from mq.message.record import MAGIC_V1, MAGIC_V2
from mq.store.abort_mark import LastStop
from mq.store.commit_log import CommitLog, LogFile
from mq.store.consume_queue import ENTRY, ENTRY_BYTES, ConsumeQueue
from mq.store.disk import Disk, is_zero, written_chunks
from mq.store.queue_table import QueueTable
from mq.store.recovery_point import RecoveryPoint
from mq.store.scan import Scan
from mq.store.tag_code import SCHEDULE_TOPIC, due_ms, tag_code

logger = logging.getLogger(__name__)

#: The most that a power cut can leave of one group in pieces.
TEAR_BYTES: Final = 8 << 20
#: Message numbers that a queue may lack in one place before the number itself is taken for damaged.
MAX_GAP: Final = 10_000
_MAX_ODDITIES: Final = 20
_MAGICS: Final = tuple(struct.pack(">I", magic) for magic in (MAGIC_V1, MAGIC_V2))
_MAGIC_AT: Final = 4
_TRANSACTION_OPEN: Final = (sys_flag.TRANSACTION_PREPARED, sys_flag.TRANSACTION_ROLLBACK)


@dataclass
class RecoveryReport:
    """What opening found and did."""

    last_stop: LastStop
    #: Where the walk through the log began and ended: the next message goes to `end`.
    begin: int = 0
    end: int = 0
    record_count: int = 0
    #: Store time of the last record walked over; -1 when there was none.
    last_timestamp_ms: int = -1
    #: Queue entries that were missing or wrong.
    repaired_count: int = 0
    #: Why the log ends where it does, when not at zeros, and what was cut off there.
    damage: str | None = None
    cut_bytes: int = 0
    #: What looks wrong and cannot be put right: as a rule a header field, which RocketMQ's CRC does not cover.
    oddities: list[str] = field(default_factory=list)
    #: Whether the recovery point was believed.
    is_point_trusted: bool = False

    def add_oddity(self, sentence: str) -> None:
        if len(self.oddities) < _MAX_ODDITIES:
            logger.warning("%s", sentence)
            self.oddities.append(sentence)

    def __str__(self) -> str:
        text = f"{self.last_stop.value}; {self.record_count} messages read from {self.begin} to {self.end}"
        if self.repaired_count:
            text += f", {self.repaired_count} queue entries repaired"
        if self.damage:
            text += f", {self.cut_bytes} bytes cut off at the end ({self.damage})"
        if self.oddities:
            text += f"; {'; '.join(self.oddities)}"
        return text


class _Run:
    """Consecutive entries of one queue, as one file of the log tells them."""

    __slots__ = ("entries", "first", "next", "queue")

    def __init__(self, queue: ConsumeQueue, first: int) -> None:
        self.queue = queue
        self.first = self.next = first
        self.entries = bytearray()


class Recovery:
    def __init__(
        self, root: Path, log: CommitLog, queues: QueueTable, disk: Disk, delay_levels_ms: tuple[int, ...]
    ) -> None:
        self._root = root
        self._log = log
        self._queues = queues
        self._disk = disk
        self._delay_levels_ms = delay_levels_ms
        self._known: set[ConsumeQueue] = set()
        self._is_permitted = False

    def run(self, point: RecoveryPoint | None, last_stop: LastStop) -> RecoveryReport:
        """Bring log and queues into agreement; `point` is one whose checkpoint is the one on disk.

        Raises: CorruptRecord, StoreUnusable: damage that would lose messages if it were cut off.
        """
        report = RecoveryReport(last_stop)
        if not self._log.files:
            self._check_nothing_is_missing(point)
        report.is_point_trusted = point is not None and self._agrees(point)
        report.begin = point.commit_log_offset if point and report.is_point_trusted else self._log.min_offset
        self._walk(report)
        if point is not None and report.end < point.commit_log_offset:
            self._permit(report, f"messages were stored up to {point.commit_log_offset}")
            self._known.clear()
            return self.run(None, last_stop)
        self._end_log(report)
        if point is not None:
            self._check_ends(point, report)
        is_expected = report.is_point_trusted and last_stop is not LastStop.UNKNOWN and report.damage is None
        self._end_queues(report.end, is_thorough=not is_expected)
        return report

    # ---- where to begin

    def _check_nothing_is_missing(self, point: RecoveryPoint | None) -> None:
        has_entries = any(queue.end_of_files for queue in self._queues)
        if (point is not None and point.commit_log_offset) or has_entries:
            raise StoreUnusable(
                f"{self._log.folder} has no files, but {self._root} has queues of messages: "
                "give the right commit log folder, restore it, or choose an empty store folder"
            )

    def _agrees(self, point: RecoveryPoint) -> bool:
        """Whether every queue of the point is there; sets where they end."""
        for (topic, queue_id, max_offset), begin in zip_longest(point.queues, point.queue_begins):
            queue = self._queues.open(topic, queue_id)
            (offset, size, _code) = ENTRY.unpack(queue.read_files(max_offset - 1, 1))
            is_whole = begin is None or queue.first_in_files <= begin
            if not (is_whole and size > 0 and offset + size <= point.commit_log_offset):
                logger.warning("%s does not hold %d entries: all queues are built again", queue.folder, max_offset)
                self._known.clear()
                return False
            queue.reset(max_offset)
            self._known.add(queue)
        return True

    def _check_ends(self, point: RecoveryPoint, report: RecoveryReport) -> None:
        """A queue that was longer keeps its next offset: given out twice, it would hide a message from consumers."""
        for topic, queue_id, max_offset in point.queues:
            queue = self._queues.open(topic, queue_id)
            if queue.max_offset < max_offset:
                report.add_oddity(f"{queue.folder}: messages {queue.max_offset} to {max_offset - 1} are gone")
                self._known.add(queue)
                queue.reset(max_offset)

    # ---- the walk

    def _walk(self, report: RecoveryReport) -> None:
        report.end = min(report.begin, self._log.files[-1].end) if self._log.files else report.begin
        for file in self._log.files:
            if file.end <= report.begin:
                continue
            scan = Scan(file.view, file.start, max(file.start, report.begin))
            self._walk_file(scan, report)
            file.view.madvise(mmap.MADV_DONTNEED)  # the walk is done; its pages need not count as ours
            report.end, report.damage = scan.position, scan.damage
            if not scan.is_full:
                return

    def _walk_file(self, scan: Scan, report: RecoveryReport) -> None:
        runs: dict[tuple[bytes, int], _Run] = {}
        pack = ENTRY.pack
        for commit_log_offset, size, topic, queue_id, queue_offset, flags, stored_ms, text in scan:
            if flags & sys_flag.TRANSACTION_MASK in _TRANSACTION_OPEN:
                if queue_offset:  # those are written with 0
                    report.add_oddity(f"the record at {commit_log_offset} has sysFlag {flags:#x} and an offset")
            else:
                run = runs.get((topic, queue_id))
                if run is None or run.next != queue_offset:
                    try:
                        queue = self._queues.open(topic.decode(errors="replace"), queue_id)
                    except InvalidMessage as error:  # sizes and CRC are right, the name is not
                        scan.damage = str(error)
                        break
                    expected = run.next if run else queue.max_offset if queue in self._known else queue_offset
                    if not 0 <= queue_offset <= expected + MAX_GAP:
                        scan.damage = f"a record that says it is message {queue_offset} of {queue.folder}"
                        break
                    if run is not None:
                        self._merge(run, report)
                    if queue_offset == 0 and expected:
                        report.add_oddity(f"{queue.folder} begins anew at {commit_log_offset}: its topic was deleted")
                        self._known.discard(queue)
                    run = runs[topic, queue_id] = _Run(queue, queue_offset)
                is_scheduled = run.queue.topic == SCHEDULE_TOPIC
                code = due_ms(text, stored_ms, self._delay_levels_ms) if is_scheduled else tag_code(text)
                run.entries += pack(commit_log_offset, size, code)
                run.next += 1
            report.record_count += 1
            report.last_timestamp_ms = stored_ms
        for run in runs.values():
            self._merge(run, report)

    def _merge(self, run: _Run, report: RecoveryReport) -> None:
        """Make the queue's files say what the log says."""
        queue, first, entries = run.queue, run.first, bytes(run.entries)
        if queue not in self._known:
            self._known.add(queue)
            is_expected = self._log.min_offset > 0 and not report.is_point_trusted
            if first and not is_expected and not any(queue.read_files(first - 1, 1)):
                report.add_oddity(f"{queue.folder} begins with message {first}")
        elif first < queue.max_offset:  # an offset given twice: the first message keeps it, as in RocketMQ
            known = min(queue.max_offset - first, len(entries) // ENTRY_BYTES)
            report.add_oddity(f"{queue.folder}: {known} messages from {first} on have an offset given before")
            first, entries = first + known, entries[known * ENTRY_BYTES :]
        elif first > queue.max_offset:
            report.add_oddity(f"{queue.folder}: no messages {queue.max_offset} to {first - 1}")
            # The entry before is repeated: RocketMQ stumbles over padding inside a queue, and reading here refuses.
            before = queue.read_files(queue.max_offset - 1, 1)
            entries = before * (first - queue.max_offset) + entries
            first = queue.max_offset
        if not entries:
            return
        count = len(entries) // ENTRY_BYTES
        found = queue.read_files(first, count)
        if found != entries:
            report.repaired_count += sum(
                found[at : at + ENTRY_BYTES] != entries[at : at + ENTRY_BYTES]
                for at in range(0, len(entries), ENTRY_BYTES)
            )
            queue.write_files(first, entries)
        queue.reset(first + count)

    # ---- the end

    def _end_log(self, report: RecoveryReport) -> None:
        file = self._log.file_of(report.end)
        if file is None:
            return
        behind = [file, *(other for other in self._log.files if other.start >= file.end)]
        last_found = max(_last_record(other, max(report.end + 1, other.start)) for other in behind)
        if last_found >= 0:
            if report.last_stop is not LastStop.UNKNOWN or last_found - report.end > TEAR_BYTES:
                self._permit(report, f"records follow, up to {last_found}")
            self._keep(behind, report)
        report.cut_bytes = sum(self._zero(other, report.end) for other in behind)
        if report.cut_bytes and report.damage is None:
            report.damage = "zeros, then bytes that are no record"
        while self._log.files[-1].start > report.end:
            self._log.remove_last()

    def _permit(self, report: RecoveryReport, consequence: str) -> None:
        """Go on if somebody has decided to give up what follows. Raises: CorruptRecord: nobody has."""
        permit = self._root / f"cut-at-{report.end}"
        if permit.exists():
            permit.unlink()
            self._is_permitted = True
        if self._is_permitted:
            return
        file = self._log.file_of(report.end)
        reason = report.damage or ("zeros where a record should be" if file else "the last file ends")
        file = file or self._log.files[-1]
        raise CorruptRecord(
            file.path,
            report.end - file.start,
            f"{reason}, but {consequence}: restore the file from a backup, "
            f"or create the file {permit} to give up what follows",
        )

    def _keep(self, files: list[LogFile], report: RecoveryReport) -> None:
        """Copy what will be cut off to `cut/POSITION`, so that nothing is lost that somebody may want to look at."""
        folder = self._root / "cut"
        folder.mkdir(exist_ok=True)
        for file in files:
            for at, chunk in written_chunks(file.descriptor, max(report.end - file.start, 0)):
                if not is_zero(chunk):
                    (folder / f"{file.start + at:020d}").write_bytes(chunk)
        logger.warning("records were cut off at %d; they are kept in %s", report.end, folder)

    def _zero(self, file: LogFile, end: int) -> int:
        """Stale bytes must go: a later record that ends where one of them began would bring it back to life."""
        begin = max(end - file.start, 0)
        chunks = (chunk for _at, chunk in written_chunks(file.descriptor, begin))
        count = sum(len(chunk.rstrip(b"\0")) for chunk in chunks if not is_zero(chunk))
        if count:
            self._disk.zero_from(file.descriptor, begin)
        return count

    def _end_queues(self, log_end: int, *, is_thorough: bool) -> None:
        for queue in list(self._queues):
            if queue not in self._known:
                queue.reset(queue.end_on_disk(log_end))
                queue.cut(queue.max_offset)
            elif is_thorough or any(queue.read_files(queue.max_offset, 1)):
                queue.cut(queue.max_offset)
            if queue.max_offset == 0:  # padding alone would mislead RocketMQ
                self._queues.remove(queue)


def _last_record(file: LogFile, begin: int) -> int:
    """Where the last whole record behind `begin` lies in a file; -1 when there is none. One per MiB is looked for."""
    last = -1
    overlap_bytes = 8
    for at, chunk in written_chunks(file.descriptor, begin - file.start, overlap_bytes):
        for magic in _MAGICS:
            found = chunk.find(magic, _MAGIC_AT)
            while found >= 0:
                candidate = file.start + at + found - _MAGIC_AT
                if next(iter(Scan(file.view, file.start, candidate)), None) is not None:
                    last = max(last, candidate)
                    break
                found = chunk.find(magic, found + 1)
    return last
