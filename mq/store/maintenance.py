"""What a store does beside storing and reading: it keeps derived files close behind the log.

Every half second: queue entries go to their files, the next log file is made, zeros are written ahead, and in ASYNC
mode the log is synced. Every 64 MiB or 30 s: a recovery point. Every 10 s: retention. The key index works in slices of
0.3 ms. What may block runs in one thread of its own.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mq.errors import StoreNotWritable
from mq.store import checkpoint, recovery_point
from mq.store.checkpoint import Checkpoint
from mq.store.commit_log import CommitLog, LogFile
from mq.store.config import FlushMode, StoreConfig
from mq.store.disk import Disk
from mq.store.key_index import KeyIndex
from mq.store.queue_table import QueueTable
from mq.store.recovery_point import RecoveryPoint
from mq.store.retention import MAX_FILES_AT_ONCE, Retention
from mq.store.zero_ahead import ZeroAhead

logger = logging.getLogger(__name__)

_POINT_BYTES: Final = 64 << 20
_POINT_INTERVAL_S: Final = 30.0
_RETENTION_INTERVAL_S: Final = 10.0
#: How long a long job may keep the loop at a time.
_SLICE_S: Final = 0.001
_NO_SPACE: Final = "no space"
_INDEX_DELAY_S: Final = 0.01
_INDEX_PAUSE_S: Final = 0.001


class Durable:
    """How far the log is committed, and when its last message was stored."""

    __slots__ = ("offset", "timestamp_ms")

    def __init__(self) -> None:
        self.offset = 0
        self.timestamp_ms = 0


class Maintenance:
    def __init__(
        self,
        config: StoreConfig,
        log: CommitLog,
        queues: QueueTable,
        index: KeyIndex,
        disk: Disk,
        durable: Durable,
        refusals: dict[str, str],
        fail: Callable[[str], None],
    ) -> None:
        self.retention = Retention(config, log, queues, index, disk, lambda: durable.offset, refusals)
        self._refusals = refusals
        self._config = config
        self._log = log
        self._queues = queues
        self._index = index
        self._disk = disk
        self._durable = durable
        self._fail = fail
        self._checkpoint = Checkpoint()
        self._point_offset = -1
        self._point_number = self._point_written = 0
        self._point_lock = threading.Lock()
        self._point_at_s = self._retention_at_s = 0.0
        self._synced_to = 0
        self._thread: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_index_scheduled = False
        #: Whether reading has met damage: the store must not look like a sound one when it is closed.
        self.is_distrusted = False
        self._zero_ahead: ZeroAhead | None = None

    # ---- life

    def opened(self, last: Checkpoint) -> None:
        """Recovery is done: mark where it ended, before anything is appended. Raises: OSError."""
        self._checkpoint = last
        self._synced_to = self._durable.offset
        self.save_point()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._config.flush is FlushMode.SYNC:
            self._zero_ahead = ZeroAhead(self._log)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-maintenance")
        self._retention_at_s = self._point_at_s = self._loop.time()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)
        self.index_later()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        self._loop = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("the store's maintenance ended", exc_info=error)
            self._fail(f"the store's maintenance ended ({error!r}): restart the broker")

    async def _run(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(self._config.async_flush_interval_ms / 1000)

    # ---- one round

    async def tick(self) -> None:
        """Do what is due. A disk that is full or refuses makes a refusal, not an end; only a failed log sync ends."""
        loop = asyncio.get_running_loop()
        try:
            self._log.adopt_ahead(wait=False)
            if self._thread is not None:
                self._log.prepare_ahead(self._thread)
            if _NO_SPACE in self._refusals:
                self._log.prepare_current()
            await self._flush_queues()
            if loop.time() - self._retention_at_s >= _RETENTION_INTERVAL_S:
                self._retention_at_s = loop.time()
                await self.delete_old_files()
            self._refusals.pop(_NO_SPACE, None)
        except OSError as error:
            self.refuse(f"the store cannot write ({error}): free space on the partition of {self._config.root}")
        await self._sync_log()
        if self._zero_ahead is not None:
            await loop.run_in_executor(self._thread, self._zero_ahead.run)
        moved = self._durable.offset - self._point_offset
        if moved >= _POINT_BYTES or (moved and loop.time() - self._point_at_s >= _POINT_INTERVAL_S):
            self._point_at_s = loop.time()
            await self._save_point_in_thread()

    async def _flush_queues(self) -> None:
        """Write out the queues' entries, with pauses: 8,000 queues take 0.1 s, and 0.9 s when all files are new."""
        began = time.perf_counter()
        for _ in self._queues.flush_one_by_one():
            if time.perf_counter() - began > _SLICE_S:
                await asyncio.sleep(0)
                began = time.perf_counter()

    async def delete_old_files(self, *, any_hour: bool = False) -> None:
        """One round of retention; `any_hour`: expired files go whatever `deleteWhen` says. Raises: OSError."""
        for _ in range(MAX_FILES_AT_ONCE):
            path = self.retention.take(time.time(), any_hour=any_hour)
            if path is None:
                break
            # Deleting 1 GiB takes some ms, too long for the loop; the next file is judged after it is gone.
            await asyncio.get_running_loop().run_in_executor(self._thread, self._disk.remove, path)
        self.retention.follow_log()

    def refuse(self, sentence: str) -> None:
        if _NO_SPACE not in self._refusals:
            logger.error("%s", sentence)
        self._refusals[_NO_SPACE] = sentence

    async def _sync_log(self) -> None:
        """ASYNC mode: bring to disk what the operating system has. A failure ends writing for good."""
        offset = self._durable.offset
        if self._config.flush is FlushMode.ASYNC and offset > self._synced_to:
            files = self._log.files_between(self._synced_to, offset)
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._sync_files, files)
            except StoreNotWritable as error:
                self._fail(str(error))
            else:
                self._synced_to = offset

    def _sync_files(self, files: list[LogFile]) -> None:
        """Raises: StoreNotWritable: what was acknowledged may be lost, and the system reports that only once."""
        try:
            for file in files:
                self._disk.sync(file.descriptor)
        except OSError as error:
            raise StoreNotWritable(
                f"syncing the commit log failed ({error}): restart the broker once the disk is sound"
            ) from error

    # ---- recovery points

    def save_point(self, *, with_index: bool = False) -> None:
        """Make one now, in this thread; for a clean stop also sync the index. Raises: OSError, StoreNotWritable."""
        self._queues.flush()
        self._point_job(with_index=with_index)()

    def distrust(self) -> None:
        """A queue may not hold what it should: have the next start look at the whole log."""
        with self._point_lock:
            self.is_distrusted = True
            for name in ("recoverypoint", "checkpoint"):
                (self._config.root / name).unlink(missing_ok=True)

    async def _save_point_in_thread(self) -> None:
        try:
            await self._flush_queues()
            self._queues.flush()  # what came meanwhile, so that the point is of one moment
            await asyncio.get_running_loop().run_in_executor(self._thread, self._point_job())
        except OSError as error:
            logger.warning("no recovery point (%s): the next start takes longer", error)
        except StoreNotWritable as error:
            self._fail(str(error))

    def _point_job(self, *, with_index: bool = False) -> Callable[[], None]:
        """Note how things are now; the job returned brings all that to disk, the point itself last."""
        durable, before = self._durable, self._checkpoint
        last_full = self._index.files[-2].end_ms if len(self._index.files) > 1 else 0
        after = Checkpoint(durable.timestamp_ms, durable.timestamp_ms, last_full, 0, durable.offset)
        queues = [queue for queue in self._queues if queue.max_offset]
        point = RecoveryPoint(
            durable.offset,
            (before.pack().hex(), after.pack().hex()),
            self._index.position,
            self._index.names(),
            [(queue.topic, queue.queue_id, queue.max_offset) for queue in queues],
            [queue.first_in_files for queue in queues],
            self._index.slots_sums() if with_index else [],
        )
        unsynced, self._queues.unsynced = self._queues.unsynced, set()
        self._checkpoint, self._point_offset = after, durable.offset
        files = self._log.files_between(self._synced_to, durable.offset)
        self._point_number += 1
        return functools.partial(self._write_point, self._point_number, point, after, unsynced, files, with_index)

    def _write_point(
        self,
        number: int,
        point: RecoveryPoint,
        after: Checkpoint,
        unsynced: set[Path],
        files: list[LogFile],
        with_index: bool,
    ) -> None:
        try:
            if self._config.flush is FlushMode.ASYNC:
                self._sync_files(files)
            self._queues.sync(unsynced)
        except OSError:
            # What the system could not write it may have forgotten: a later sync that succeeds would prove nothing.
            self.distrust()
            raise
        if with_index:
            self._index.sync()
        with self._point_lock:
            if self.is_distrusted or number < self._point_written:  # a newer one was made in the other thread
                return
            recovery_point.save(self._config.root / "recoverypoint", point, self._disk)
            checkpoint.save(self._config.root / "checkpoint", after, self._disk)
            self._point_written = number

    # ---- the index

    def index_later(self) -> None:
        """Have waiting messages indexed soon; called after every commit."""
        if not self._is_index_scheduled and self._loop is not None and self._index.has_work:
            self._is_index_scheduled = True
            self._loop.call_later(_INDEX_DELAY_S, self._index_slice)

    def _index_slice(self) -> None:
        self._is_index_scheduled = False
        if self._loop is None:
            return
        self._index.work()
        if self._index.has_work:
            self._is_index_scheduled = True
            self._loop.call_later(_INDEX_PAUSE_S, self._index_slice)
