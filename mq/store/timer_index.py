"""The timers that are waiting, by the second in which they are due: wheel, log and checkpoint as one thing.

All of it follows from the timer topic: `queue_offset` says up to where the topic has been put on the wheel, `read_slot`
up to where the wheel has been delivered. Written in the order log, wheel, checkpoint, each synced before the next, so
that what a crash leaves is complete up to the checkpoint and can be completed from the log behind it. When the files do
not fit together they are made anew from the topic, without what was delivered already.

Simpler than RocketMQ: a delivered slot is emptied at once, so the clock may go back without anything firing twice, and
a slot that was delivered in part says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mq.errors import CorruptRecord
from mq.store import timer_checkpoint
from mq.store.disk import Disk
from mq.store.timer_checkpoint import TimerCheckpoint
from mq.store.timer_log import RECORD_BYTES, TimerLog, TimerRecord
from mq.store.timer_wheel import PART_SLOTS, Slot, TimerWheel

logger = logging.getLogger(__name__)


class Delivered(NamedTuple):
    """What a rebuild must leave out: messages before `queue_offset` that were due before `slot`."""

    queue_offset: int
    slot: int


class TimerIndex:
    """Units: slots are numbered `time in ms // precision_ms`; `queue_offset` counts messages of the timer topic."""

    def __init__(self, root: Path, *, precision_ms: int, log_file_bytes: int, disk: Disk | None = None) -> None:
        self._disk = disk or Disk()
        self._checkpoint_path = root / "config" / "timercheck"
        self._wheel_path = root / "timerwheel"
        self._log_folder = root / "timerlog"
        self._precision_ms = precision_ms
        self._log_file_bytes = log_file_bytes
        self._counter = 0
        self._delivered = Delivered(0, 0)
        self.wheel = TimerWheel(self._wheel_path, self._disk)
        self.log = TimerLog(self._log_folder, self._disk, log_file_bytes)
        self.read_slot = 0
        self.queue_offset = 0
        self.is_dirty = False

    # ---- open and close

    def open(
        self,
        *,
        now_ms: int,
        queue_range: tuple[int, int],
        queue_offset_of: Callable[[TimerRecord], int | None],
        is_clean: bool = False,
    ) -> None:
        """Take up where the files say, or start over from the topic's first message.

        `queue_range` is what the topic holds, from its minimum to its maximum offset; `queue_offset_of` finds the
        message behind a log record, None when it is not there; `is_clean` says that the store was stopped and not
        killed. Files that do not fit together are logged as an error.
        """
        checkpoint: TimerCheckpoint | None = None
        try:
            checkpoint = timer_checkpoint.load(self._checkpoint_path)
            problem = self._open_files(checkpoint)
            if checkpoint is not None and problem is None:
                problem = self._check_wheel(checkpoint, now_ms, is_clean=is_clean)
        except CorruptRecord as error:
            problem = str(error)
        if checkpoint is None and problem is None and queue_range[1] > queue_range[0]:
            problem = f"{self._checkpoint_path} is missing, so those delivered already will be delivered again"
        if checkpoint is not None:
            self.read_slot = checkpoint.last_read_time_ms // self._precision_ms
            self.queue_offset = min(checkpoint.queue_offset, checkpoint.master_queue_offset)
            self._counter = checkpoint.counter
        else:
            self.read_slot = now_ms // self._precision_ms
        if checkpoint is not None and problem is None:
            self._recover(checkpoint.timer_log_position, queue_offset_of)
        else:
            self.start_over(queue_range[0], problem)
        self.queue_offset = min(max(self.queue_offset, queue_range[0]), queue_range[1])

    def start_over(self, first_queue_offset: int, problem: str | None) -> None:
        """Forget wheel and log and begin with the topic's first message, but for what was delivered up to now."""
        if problem is not None:
            logger.error("timers are read again from their topic: %s", problem)
        self._delivered = Delivered(self.queue_offset, self.read_slot)
        self.queue_offset = first_queue_offset
        self.close()
        for path in (self._wheel_path, *self._log_folder.glob("*")):
            if path.exists():
                self._disk.unlink(path)
        self.wheel = TimerWheel(self._wheel_path, self._disk)
        self.log = TimerLog(self._log_folder, self._disk, self._log_file_bytes)
        self.wheel.open()
        self.log.open()
        self.is_dirty = True

    def close(self) -> None:
        self.wheel.close()
        self.log.close()

    def flush(self, now_ms: int, min_commit_log_offset: int = 0) -> None:
        """Bring everything to disk, and drop log files whose messages are gone from the commit log.

        Slow, for a thread; nothing else may use the index meanwhile.
        """
        self.log.delete_before(min_commit_log_offset)
        self.log.sync()
        self.wheel.write()
        self._counter += 1
        timer_checkpoint.save(self._checkpoint_path, self.checkpoint(now_ms), self._disk)
        self.is_dirty = False

    def checkpoint(self, now_ms: int) -> TimerCheckpoint:
        """How far things are now."""
        return TimerCheckpoint(
            last_read_time_ms=self.read_slot * self._precision_ms,
            timer_log_position=self.log.end_position,
            queue_offset=self.queue_offset,
            master_queue_offset=self.queue_offset,
            timestamp_ms=now_ms,
            counter=self._counter,
            precision_ms=self._precision_ms,
            wheel_sums=tuple(self.wheel.sums),
        )

    # ---- putting on the wheel

    def was_delivered(self, slot: int) -> bool:
        """Whether the message at `queue_offset`, due in this slot, was delivered before the index had to start over."""
        return self.queue_offset < self._delivered.queue_offset and slot < self._delivered.slot

    def put(
        self, slot: int, *, now_ms: int, magic: int, commit_log_offset: int, record_bytes: int, topic_hash: int
    ) -> bool:
        """Put a message into a slot; when that was delivered, into the one before now, which is due at once.

        False when that must wait: a wheel that is far behind still has an older slot in that place.
        """
        if slot < self.read_slot:
            slot = max(slot, self.last_due_slot(now_ms))
        if slot - self.read_slot >= self.wheel.slot_count:
            return False
        if slot < self.read_slot:
            self._reopen(slot)
        previous = self.wheel.add(slot, self.log.next_position())
        delay_ms = slot * self._precision_ms - now_ms
        self.log.append(TimerRecord(previous, magic, now_ms, delay_ms, commit_log_offset, record_bytes, topic_hash))
        self.is_dirty = True
        return True

    def _reopen(self, slot: int) -> None:
        """Go back to an earlier slot; what another broker left in those delivered since is dropped."""
        for stale in list(self.wheel.occupied(slot, self.read_slot - 1)):
            self.wheel.clear(stale.number)
        self.read_slot = slot

    # ---- taking off the wheel

    def due(self, now_ms: int) -> Iterator[Slot]:
        """The slots that are over and not delivered, oldest first."""
        return self.wheel.occupied(self.read_slot, self.last_due_slot(now_ms))

    def last_due_slot(self, now_ms: int) -> int:
        return now_ms // self._precision_ms - 1

    def chain(self, slot: Slot) -> Iterator[tuple[int, TimerRecord]]:
        """Positions and records of a slot, newest first."""
        position = slot.last_position
        while position >= self.log.min_position:  # before it: retention took the messages
            record = self.log.read(position)
            if record is None or record.slot_time_ms // self._precision_ms != slot.number:
                raise CorruptRecord(self._log_folder, position, f"no record of slot {slot.number}")
            yield position, record
            position = record.previous_position

    def delivered(self, slot: Slot) -> None:
        """The slot is done."""
        self.wheel.clear(slot.number)
        self.read_slot = slot.number + 1
        self.is_dirty = True

    def delivered_until(self, slot: Slot, position: int, waiting_count: int) -> None:
        """The slot is done up to the record at `position`: that one and what follows it are still to come."""
        self.log.end_chain(position)
        self.wheel.put(Slot(slot.number, position, slot.last_position, waiting_count))
        self.is_dirty = True

    # ---- after a crash or a foreign broker

    def _open_files(self, checkpoint: TimerCheckpoint | None) -> str | None:
        """Open wheel and log; says what is wrong with them."""
        had_wheel = self.wheel.open()
        self.log.open()
        if checkpoint is None:
            return None
        if checkpoint.precision_ms not in (0, self._precision_ms):
            return f"they were written with timerPrecisionMs={checkpoint.precision_ms}"
        if not self.log.min_position <= checkpoint.timer_log_position <= self.log.end_position:
            return f"{self._log_folder} does not reach its checkpoint at {checkpoint.timer_log_position}"
        if not had_wheel and checkpoint.timer_log_position > 0:
            return f"{self._wheel_path} is missing"
        return None

    def _check_wheel(self, checkpoint: TimerCheckpoint, now_ms: int, *, is_clean: bool) -> str | None:
        """Hold the wheel against the sums of its checkpoint; says what a disk has changed.

        What a crash leaves may be ahead of the checkpoint: in the slots of the records behind it, which are in the
        log, and in those that were delivered since.
        """
        may_differ: set[int] = set()
        if not is_clean:
            records = self.log.scan(checkpoint.timer_log_position)
            may_differ |= {self.wheel.part_of(record.slot_time_ms // self._precision_ms) for _, record in records}
            read_slot = checkpoint.last_read_time_ms // self._precision_ms
            last_slot = min(now_ms // self._precision_ms, read_slot + self.wheel.slot_count)
            may_differ |= {self.wheel.part_of(slot) for slot in range(read_slot, last_slot + PART_SLOTS, PART_SLOTS)}
        for part, (found, expected) in enumerate(zip(self.wheel.sums, checkpoint.wheel_sums, strict=False)):
            if found != expected and part not in may_differ:
                return f"{self._wheel_path}: part {part} of {len(self.wheel.sums)} is not what was written"
        return None

    def _recover(self, checked_position: int, queue_offset_of: Callable[[TimerRecord], int | None]) -> None:
        """Complete the wheel and both progress numbers from the log records behind the checkpoint."""
        end_position = checked_position
        for position, record in self.log.scan(end_position):
            queue_offset = queue_offset_of(record)
            if queue_offset is None:
                break
            number = record.slot_time_ms // self._precision_ms
            slot = self.wheel.get(number)
            if slot is None or slot.last_position < position:
                self.wheel.add(number, position)
            self.read_slot = min(self.read_slot, number)
            self.queue_offset = queue_offset + 1
            end_position = position + RECORD_BYTES
        self.log.cut(end_position)
