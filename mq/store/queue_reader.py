"""Reading queues: messages by queue offset, and queue offsets by time. Sees committed messages only."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Final

import msgspec

from mq.errors import CorruptRecord
from mq.message import sys_flag
from mq.message.record import STORE_TIMESTAMP_AT, properties_text
from mq.store.commit_log import CommitLog
from mq.store.consume_queue import ENTRY, QueueEntry
from mq.store.queue_table import QueueTable

#: How many entries a filtered read looks at before it answers with what it has: a rare tag must not stop the loop.
_MAX_FILTERED_ENTRIES: Final = 800
#: ... and how long it may look at records that are not wanted, as that takes longer than looking at entries.
_MAX_FILTERING_S: Final = 0.01
_SYS_FLAG_AT: Final = 36


class GetStatus(enum.Enum):
    """What a read met; named after RocketMQ's GetMessageStatus."""

    FOUND = "found"
    NO_MATCHED = "no matched"
    NO_QUEUE = "no queue"
    NO_MESSAGE_IN_QUEUE = "no message in queue"
    OFFSET_OVERFLOW_ONE = "offset overflow one"
    OFFSET_OVERFLOW_BADLY = "offset overflow badly"
    OFFSET_TOO_SMALL = "offset too small"


class GetResult(msgspec.Struct, frozen=True, gc=False):
    status: GetStatus
    records: list[bytes]
    next_offset: int
    min_offset: int
    max_offset: int


class QueueReader:
    def __init__(self, log: CommitLog, queues: QueueTable, on_damage: Callable[[], None]) -> None:
        self._log = log
        self._on_damage = on_damage
        self._queues = queues

    def get(
        self,
        topic: str,
        queue_id: int,
        queue_offset: int,
        *,
        max_count: int,
        max_bytes: int,
        tag_codes: frozenset[int] | None = None,
        wants: Callable[[bytes], bool] | None = None,
    ) -> GetResult:
        """Messages of a queue from `queue_offset` on, at most `max_bytes` unless the first alone is longer.

        With `tag_codes`, only those whose code is among them, and with `wants`, only those whose properties text it is
        true of; `next_offset` is then behind all that were looked at.
        Raises: CorruptRecord: the queue points to something else than that message. The next start then reads the whole
            log, and repairs the queue or refuses the log.
        """
        queue = self._queues.get(topic, queue_id)
        if queue is None:
            return GetResult(GetStatus.NO_QUEUE, [], 0, 0, 0)
        low, high = self.min_offset(topic, queue_id), queue.max_offset
        if high == 0:
            return GetResult(GetStatus.NO_MESSAGE_IN_QUEUE, [], 0, low, high)
        if queue_offset < low:
            return GetResult(GetStatus.OFFSET_TOO_SMALL, [], low, low, high)
        if queue_offset == high:
            return GetResult(GetStatus.OFFSET_OVERFLOW_ONE, [], queue_offset, low, high)
        if queue_offset > high:
            return GetResult(GetStatus.OFFSET_OVERFLOW_BADLY, [], high, low, high)
        records: list[bytes] = []
        total = 0
        next_offset = queue_offset
        read = self._log.queued_record
        is_filtered = tag_codes is not None or wants is not None
        data = queue.read(queue_offset, _MAX_FILTERED_ENTRIES if is_filtered else max_count)
        ends_at_s = perf_counter() + _MAX_FILTERING_S if wants is not None else 0.0
        try:
            for commit_log_offset, record_bytes, tag_code in ENTRY.iter_unpack(data):
                if tag_codes is None or tag_code in tag_codes:
                    if records and (len(records) >= max_count or total + record_bytes > max_bytes):
                        break
                    record = read(commit_log_offset, record_bytes, topic, queue_id, next_offset)
                    if wants is None or wants(properties_text(record)):
                        records.append(record)
                        total += record_bytes
                    elif perf_counter() > ends_at_s:
                        next_offset += 1
                        break
                next_offset += 1
        except CorruptRecord:
            self._on_damage()
            if not records:
                raise
        return GetResult(GetStatus.FOUND if records else GetStatus.NO_MATCHED, records, next_offset, low, high)

    def entries(self, topic: str, queue_id: int, start: int, count: int) -> list[QueueEntry]:
        """The queue's entries from `start` on that exist, up to `count`."""
        queue = self._queues.get(topic, queue_id)
        if queue is None:
            return []
        start, end = max(start, self.min_offset(topic, queue_id)), min(start + count, queue.max_offset)
        if start >= end:
            return []
        return [QueueEntry(*entry) for entry in ENTRY.iter_unpack(queue.read(start, end - start))]

    def min_offset(self, topic: str, queue_id: int) -> int:
        """The first message still there; equals `max_offset` when none is."""
        queue = self._queues.get(topic, queue_id)
        try:
            return self._queues.min_offset(queue, self._log.min_offset) if queue else 0
        except CorruptRecord:
            self._on_damage()
            raise

    def max_offset(self, topic: str, queue_id: int) -> int:
        """The offset behind the last committed message: that of the next."""
        queue = self._queues.get(topic, queue_id)
        return queue.max_offset if queue else 0

    def store_timestamp(self, topic: str, queue_id: int, queue_offset: int) -> int:
        """When a message was stored, epoch ms; -1 when there is no such message."""
        found = self.entries(topic, queue_id, queue_offset, 1)
        record = self._log.record(found[0].commit_log_offset) if found else None
        return store_timestamp_of(record) if record else -1

    def offset_by_time(self, topic: str, queue_id: int, timestamp_ms: int, *, upper: bool = False) -> int:
        """The first message stored at that moment or later; with `upper` the last one stored then or earlier."""
        first, high = self.min_offset(topic, queue_id), self.max_offset(topic, queue_id)
        low = first
        while low < high:
            middle = (low + high) // 2
            stored_ms = self.store_timestamp(topic, queue_id, middle)
            if stored_ms < timestamp_ms or (upper and stored_ms == timestamp_ms):
                low = middle + 1
            else:
                high = middle
        return max(first, low - 1) if upper else low


def store_timestamp_of(record: bytes) -> int:
    (flags,) = struct.unpack_from(">i", record, _SYS_FLAG_AT)
    (timestamp_ms,) = struct.unpack_from(
        ">q", record, STORE_TIMESTAMP_AT + (12 if flags & sys_flag.BORN_HOST_V6 else 0)
    )
    return int(timestamp_ms)
