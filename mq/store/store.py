"""The message store: the one door to the files, used by the broker and nobody else.

Writing: `append` stamps a message and puts its record into the gathering group; `when_durable` tells when the group is
committed; only then do consume queues, key index and readers learn of it. Reading sees committed messages only.
One thread, the loop's, calls everything here; only writes and syncs of a group may run in another.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

import msgspec

from mq.clock import Clock
from mq.errors import MessageTooLarge, MQError, StoreNotWritable, StoreUnusable
from mq.message import properties, sys_flag
from mq.message.record import RecordFields, decode
from mq.store import checkpoint, recovery_point
from mq.store.abort_mark import AbortMark, LastStop
from mq.store.commit_log import CommitLog
from mq.store.config import FlushMode, StoreConfig
from mq.store.consume_queue import ENTRY
from mq.store.disk import Disk
from mq.store.entry import Entry
from mq.store.foreign import refuse_foreign
from mq.store.group_commit import Callback, GroupCommit
from mq.store.key_index import KeyIndex, keys_of
from mq.store.maintenance import Durable, Maintenance
from mq.store.queue_reader import GetResult, GetStatus, QueueReader
from mq.store.queue_table import QueueTable
from mq.store.record_encoder import RecordEncoder
from mq.store.recovery import Recovery, RecoveryReport
from mq.store.recovery_point import RecoveryPoint
from mq.store.store_lock import StoreLock
from mq.store.tag_code import SCHEDULE_TOPIC, due_ms, tag_code

__all__ = ["AppendResult", "GetResult", "GetStatus", "MessageStore", "PutStatistics", "RecoveryReport"]

logger = logging.getLogger(__name__)

ArrivalListener = Callable[[str, int, int, int, bytes], None]

_TRANSACTION_MASK: Final = sys_flag.TRANSACTION_MASK
_TRANSACTION_OPEN: Final = (sys_flag.TRANSACTION_PREPARED, sys_flag.TRANSACTION_ROLLBACK)
#: Bytes appended but not committed beyond which sends are refused: the disk does not keep up.
_MAX_WAITING_BYTES: Final = 64 << 20
#: As much of the log is indexed while opening and closing (0.1 s); more in the background, or after the next start.
_INDEX_AT_ONCE_BYTES: Final = 16 << 20
#: Index entries looked at for one query: different keys may share a hash.
_MAX_CANDIDATES: Final = 256


class AppendResult(msgspec.Struct, frozen=True, gc=False):
    """Where a message landed. Units: `commit_log_offset` in bytes, `queue_offset` in messages."""

    commit_log_offset: int
    queue_offset: int
    store_timestamp_ms: int
    record_bytes: int


@dataclass
class PutStatistics:
    count: int = 0
    bytes: int = 0


class MessageStore:
    def __init__(self, config: StoreConfig, clock: Clock, *, disk: Disk | None = None) -> None:
        self.config = config
        self.put_statistics = PutStatistics()
        self._clock = clock
        self._disk = disk or Disk()
        self._lock = StoreLock(config.root / "lock")
        self._abort_mark = AbortMark(config.root, self._disk)
        self._log = CommitLog(config.commit_log_path, config.commit_log_file_bytes, self._disk)
        self._queues = QueueTable(config, self._disk)
        self._index = KeyIndex(config, self._log)
        #: Sentences by cause; while there is one, no message is taken.
        self._refusals: dict[str, str] = {}
        self._commit = GroupCommit(
            self._log, self._refusals, sync=config.flush is FlushMode.SYNC, on_committed=self._group_committed
        )
        self._durable = Durable()
        self._maintenance = Maintenance(
            config, self._log, self._queues, self._index, self._disk, self._durable, self._refusals, self._commit.fail
        )
        self._reader = QueueReader(self._log, self._queues, self._maintenance.distrust)
        self._encoder = RecordEncoder(config.store_host)
        self._listeners: list[ArrivalListener] = []
        self._is_open = False
        #: How the store was left that `open` opened.
        self.last_stop = LastStop.CLEAN

        self.get = self._reader.get
        self.entries = self._reader.entries
        self.min_offset = self._reader.min_offset
        self.max_offset = self._reader.max_offset
        self.store_timestamp = self._reader.store_timestamp
        self.offset_by_time = self._reader.offset_by_time

    # ---- life

    def reconfigure(self, config: StoreConfig) -> None:
        """Other limits and times of retention from now on; places, sizes and the way of flushing stay as opened."""
        self.config = config
        self._maintenance.retention.reconfigure(config)

    def open(self) -> RecoveryReport:
        """Lock the directory, load its files, and bring queues and log into agreement.

        Raises: StoreUnusable: locked, unreadable, or of a kind we do not read.  CorruptRecord: damage.
        """
        root = self.config.root
        try:
            self._disk.make_folder(root)
            self._lock.acquire()
            return self._open()
        except OSError as error:
            self._release()
            raise StoreUnusable(self._why_not_opened(error)) from error
        except BaseException:
            self._release()
            raise

    def _why_not_opened(self, error: OSError) -> str:
        config = self.config
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                f"no space for the files of {config.root}, of which one takes {config.commit_log_file_bytes} bytes: "
                "free space on its partition, or give a new store smaller files (mappedFileSizeCommitLog)"
            )
        return f"{error.filename or config.root}: {error.strerror}; check that the broker may read and write there"

    def _open(self) -> RecoveryReport:
        root = self.config.root
        refuse_foreign(root)
        last = checkpoint.load(root / "checkpoint")
        point = recovery_point.load(root / "recoverypoint")
        if point is not None and last.pack().hex() not in point.checkpoints:
            point = None
        self._log.load()
        self._queues.load()
        recovery = Recovery(root, self._log, self._queues, self._disk, self.config.delay_levels_ms)
        report = recovery.run(point, self._abort_mark.read())
        self.last_stop = report.last_stop
        self._log.prepare(report.end // self.config.commit_log_file_bytes * self.config.commit_log_file_bytes)
        self._log.continue_at(report.end)
        if (
            report.last_stop is not LastStop.CLEAN
        ):  # what a killed process wrote and did not sync is seen by readers now
            self._log.sync_between(report.begin, report.end)
        self._log.reserve_current()
        self._abort_mark.set()
        self._durable.offset = report.end
        self._durable.timestamp_ms = report.last_timestamp_ms if report.record_count else last.log_timestamp_ms
        self._open_index(report, point)
        self._maintenance.opened(last)
        self._is_open = True
        return report

    def _open_index(self, report: RecoveryReport, point: RecoveryPoint | None) -> None:
        if not self.config.key_index:
            return
        self._index.load()
        is_whole = report.last_stop is not LastStop.UNKNOWN
        is_known = point is not None and report.is_point_trusted and point.index_files == self._index.names()
        is_clean = report.last_stop is LastStop.CLEAN
        if (
            is_whole
            and is_known
            and point is not None
            and self._index.is_as_summed(point.index_sums if is_clean else [])
        ):
            self._index.trust(point.indexed_to)
        elif is_clean and point is None:
            self._index.trust(0)
        else:
            self._index.rebuild()
        self._index.catch_up_from(report.end)
        if report.end - self._index.position <= _INDEX_AT_ONCE_BYTES:
            self._index.finish()

    def start(self) -> None:
        """Begin the work in the background; called in the loop that runs the store."""
        self._commit.start(asyncio.get_running_loop())
        self._maintenance.start()

    async def close(self) -> None:
        """Stop the work in the background, then `close_now`."""
        await self._maintenance.stop()
        self.close_now()

    def close_now(self) -> None:
        """Commit, bring queues and index to disk, and remove the abort mark if nothing failed."""
        if not self._is_open:
            return
        self._is_open = False
        try:
            self._commit.commit_now()
            if self._durable.offset - self._index.position <= _INDEX_AT_ONCE_BYTES:
                self._index.finish()
            self._maintenance.save_point(with_index=True)
            if not self._maintenance.is_distrusted:
                self._abort_mark.remove()
            self._disk.sync_folder(self.config.root)
        except (OSError, StoreNotWritable) as error:
            logger.error("the store could not be closed cleanly (%s): the next start will repair it", error)
        finally:
            self._release()

    def _release(self) -> None:
        self._commit.close()
        self._index.close()
        self._log.close()
        self._lock.release()

    # ---- writing

    @property
    def refusal(self) -> str | None:
        """Why messages are refused at the moment; None when they are not."""
        return next(iter(self._refusals.values()), None)

    @property
    def is_writable(self) -> bool:
        return not self._refusals

    def append(self, fields: RecordFields) -> AppendResult:
        """Put a message behind the others of its queue; nothing is written yet.

        Raises: StoreNotWritable: the disk is full or failed.  MessageTooLarge: body, properties, topic or record.
            InvalidMessage: a topic or queue id that cannot be.
        """
        if self._refusals or self._log.position - self._durable.offset > _MAX_WAITING_BYTES:
            self._refuse()
        log, commit, topic, text = self._log, self._commit, fields.topic, fields.properties_text
        self._check_body(fields.body)
        queue = self._queues.open(topic, fields.queue_id)
        is_queued = fields.sys_flag & _TRANSACTION_MASK not in _TRANSACTION_OPEN
        queue_offset = queue.next_offset if is_queued else 0
        now_ms = self._clock.now_ms()
        commit_log_offset = log.position
        record = self._encoder.encode(fields, queue_offset, commit_log_offset, now_ms)
        size = len(record)
        if not log.add(record):
            self._roll(size)
            commit_log_offset = log.position
            log.add(self._encoder.encode(fields, queue_offset, commit_log_offset, now_ms))
        if is_queued:
            queue.next_offset = queue_offset + 1
        code = due_ms(text, now_ms, self.config.delay_levels_ms) if topic == SCHEDULE_TOPIC else tag_code(text)
        commit.group.entries.append(
            (queue if is_queued else None, commit_log_offset, size, code, topic, text, fields.sys_flag, now_ms)
        )
        if not commit.is_scheduled:
            commit.schedule()
        return AppendResult(commit_log_offset, queue_offset, now_ms, size)

    def append_batch(self, batch: list[RecordFields]) -> list[AppendResult]:
        """Append all, one behind the other in one file, or none. Raises: as `append`."""
        if self._refusals:
            self._refuse()
        size = 0
        for fields in batch:
            self._check_body(fields.body)
            self._queues.open(fields.topic, fields.queue_id)
            size += self._encoder.size_of(fields)
        if not self._log.fits(size):
            self._roll(size)
        if self._log.position + size - self._durable.offset > _MAX_WAITING_BYTES:
            self._refuse()  # now: `append` would in the middle of the batch
        return [self.append(fields) for fields in batch]

    def when_durable(self, callback: Callback) -> None:
        """Call back when everything appended so far is committed, or with the error that prevents it for good."""
        self._commit.when_committed(callback)

    async def durable(self) -> None:
        """Wait for what `when_durable` tells. Raises: StoreNotWritable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settle(error: MQError | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(None)

        self.when_durable(settle)
        await future

    def commit(self) -> None:
        """Commit what was appended, at once and in this thread: for tools and tests without a loop."""
        self._commit.commit_now()

    def _check_body(self, body: bytes) -> None:
        if len(body) > self.config.max_message_bytes:
            raise MessageTooLarge(f"a body of {len(body)} bytes, {self.config.max_message_bytes} at most")

    def _refuse(self) -> NoReturn:
        raise StoreNotWritable(self.refusal or f"{_MAX_WAITING_BYTES >> 20} MiB wait for the disk: send more slowly")

    def _roll(self, size: int) -> None:
        try:
            self._log.roll(size)
        except OSError as error:
            sentence = (
                f"no room for the next commit log file ({error}): free space on the partition of {self._log.folder}"
            )
            self._maintenance.refuse(sentence)
            raise StoreNotWritable(sentence) from error

    def _group_committed(self, group: list[Entry]) -> None:
        """Let queues, index and listeners know of messages that are safe now, in this order."""
        _queue, commit_log_offset, record_bytes, *_, stored_ms = group[-1]
        self._durable.offset = commit_log_offset + record_bytes
        self._durable.timestamp_ms = stored_ms
        self.put_statistics.count += len(group)
        pack = ENTRY.pack
        total = 0
        for queue, commit_log_offset, record_bytes, code, *_ in group:
            total += record_bytes
            if queue is not None:
                queue.tail += pack(commit_log_offset, record_bytes, code)
                queue.max_offset += 1
                queue.added_bytes += record_bytes
        self.put_statistics.bytes += total
        if self.config.key_index:
            self._index.add(group)
            self._maintenance.index_later()
        for listener in self._listeners:
            for queue, _offset, _bytes, code, topic, text, *_ in group:
                if queue is not None:
                    listener(topic, queue.queue_id, queue.max_offset, code, text)

    # ---- reading

    def add_arrival_listener(self, listener: ArrivalListener) -> None:
        """Call `listener(topic, queue_id, queue_offset_after, tag_code, properties_text)` for each message that becomes
        visible.
        """
        self._listeners.append(listener)

    def record_at(self, commit_log_offset: int) -> bytes | None:
        """The committed record that begins at a position; None when none does."""
        if not self._log.min_offset <= commit_log_offset < self._durable.offset:
            return None
        return self._log.record(commit_log_offset)

    def query(self, topic: str, key: str, max_count: int, begin_ms: int, end_ms: int, *, max_bytes: int) -> list[bytes]:
        """Records of `topic` that carry `key` (unique key or one of KEYS), stored in the given time, newest first.

        Units: `max_bytes` of all together; the newest is given also when it alone is larger.
        """
        if not self._index.is_behind:
            self._index.finish()
        wanted = key.encode()
        found: list[bytes] = []
        found_bytes = 0
        for commit_log_offset in dict.fromkeys(self._index.find(topic, key, _MAX_CANDIDATES, begin_ms, end_ms)):
            if len(found) >= max_count:
                break
            record = self.record_at(commit_log_offset)
            if record is None:
                continue
            message = decode(record)
            keys = keys_of(properties.encode(message.properties))
            if message.topic == topic and wanted in keys and begin_ms <= message.store_timestamp_ms <= end_ms:
                found_bytes += len(record)
                if found and found_bytes > max_bytes:
                    break
                found.append(record)
        return found

    def finish_index(self) -> None:
        """Index all that waits, however long it takes: for tools."""
        self._index.finish()

    @property
    def index_last_timestamp_ms(self) -> int:
        return self._index.last_timestamp_ms

    @property
    def index_last_commit_log_offset(self) -> int:
        return self._index.last_commit_log_offset

    # ---- the whole

    def totals_by_topic(self) -> tuple[dict[str, int], dict[str, int]]:
        """Messages of each topic, ever, and bytes of them since the start."""
        return self._queues.totals_by_topic()

    def queues(self) -> dict[str, list[int]]:
        """The queue ids of each topic, ascending."""
        return self._queues.ids()

    def delete_topic(self, topic: str) -> None:
        """Forget a topic's queues; its messages stay in the log until that is deleted.

        A recovery point is made at once, so that the next start does not build the queues again.
        """
        self._queues.delete_topic(topic)
        try:
            self._maintenance.save_point()
        except StoreNotWritable as error:
            self._commit.fail(str(error))
        except OSError as error:
            logger.warning("no recovery point (%s): after a crash now, topic %s would be back", error, topic)

    async def delete_expired_log_files(self) -> None:
        """Delete what retention would delete at its hour."""
        await self._maintenance.delete_old_files(any_hour=True)

    def delete_expired_queue_files(self) -> None:
        """Delete the queue files whose messages are gone from the log."""
        self._maintenance.retention.follow_log(anew=True)

    @property
    def min_commit_log_offset(self) -> int:
        return self._log.min_offset

    @property
    def max_commit_log_offset(self) -> int:
        return self._log.position

    @property
    def durable_commit_log_offset(self) -> int:
        return self._durable.offset
