"""Group commit: one write and one sync for all that was appended meanwhile.

The first append of a loop turn schedules the commit for the end of the turn, so that everything the turn's connections
sent goes together; no timer is involved. While a sync takes under 0.4 ms it runs in the loop, where it costs less than
waking a thread twice; a slower disk works in a thread, and what arrives in the meantime is the next group.
A write or sync that fails ends all writing: after it nobody knows what is on disk, and asking again would not tell.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from mq.errors import MQError, StoreNotWritable
from mq.store.commit_log import CommitLog, Stretch
from mq.store.entry import Entry

logger = logging.getLogger(__name__)

Callback = Callable[[MQError | None], None]

#: Above this running mean a sync moves to a thread: two wake-ups and the GIL cost about 0.06 ms, a stalled loop more.
SLOW_SYNC_S: Final = 0.0004
#: How much the newest sync counts in the running mean.
_WEIGHT: Final = 0.1


class Group:
    """Messages that go to disk together, and who waits for them."""

    __slots__ = ("callbacks", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.callbacks: list[Callback] = []

    def tell(self, error: MQError | None) -> None:
        for callback in self.callbacks:
            try:
                callback(error)
            except Exception:  # one waiter's bug must not keep the others waiting for ever
                logger.exception("%r, told of a commit, failed", callback)


class GroupCommit:
    """`on_committed` gets the entries of each group in order, before the group's callbacks are called."""

    def __init__(
        self, log: CommitLog, refusals: dict[str, str], *, sync: bool, on_committed: Callable[[list[Entry]], None]
    ) -> None:
        #: The group that gathers now; `append` adds to its entries directly.
        self.group = Group()
        #: Whether the gathering group will be committed without anybody's doing.
        self.is_scheduled = False
        self.failure: StoreNotWritable | None = None
        self.mean_sync_s = 0.0
        self._log = log
        self._refusals = refusals
        self._sync = sync
        self._on_committed = on_committed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ThreadPoolExecutor | None = None
        #: The group whose write a thread does at present.
        self._in_flight: tuple[Group, Future[None]] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit by itself from now on; before, only `commit_now` does."""
        self._loop = loop
        if self.group.entries:
            self.schedule()

    def schedule(self) -> None:
        """Have the gathering group committed at the end of the loop's turn, or after the one that is on its way."""
        if not self.is_scheduled and self._loop is not None:
            self.is_scheduled = True
            if self._in_flight is None:
                self._loop.call_soon(self._turn_ended)

    def when_committed(self, callback: Callback) -> None:
        if self.failure is not None:
            callback(self.failure)
        elif self.group.entries:
            self.group.callbacks.append(callback)
        elif self._in_flight is not None:
            self._in_flight[0].callbacks.append(callback)
        else:
            callback(None)

    def commit_now(self) -> None:
        """Write, sync and answer everything appended, before returning. Raises: StoreNotWritable."""
        self._settle()
        if self.failure is None and self.group.entries:
            self._commit_here()
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def fail(self, sentence: str) -> None:
        """Stop writing for good, and tell everyone who waits in the gathering group."""
        logger.critical("%s", sentence)
        self.failure = StoreNotWritable(sentence)
        self._refusals["failed"] = sentence
        group, self.group = self.group, Group()
        group.tell(self.failure)

    # ---- a group's way to disk

    def _turn_ended(self) -> None:
        self.is_scheduled = False
        if self.failure is not None or self._in_flight is not None or not self.group.entries:
            return
        if self._sync and self.mean_sync_s > SLOW_SYNC_S:
            self._commit_in_thread()
        else:
            self._commit_here()

    def _commit_here(self) -> None:
        group, self.group = self.group, Group()
        try:
            self._write(self._log.take())
        except Exception as error:  # whatever it is, memory above all: going on would leave a hole in the log
            self._fail(error, group)
        else:
            self._finish(group)

    def _commit_in_thread(self) -> None:
        loop = self._loop
        assert loop is not None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        group, self.group = self.group, Group()
        work = self._thread.submit(self._write, self._log.take())
        self._in_flight = (group, work)
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._thread_done))

    def _thread_done(self) -> None:
        if self._in_flight is not None and self._in_flight[1].done():  # else `commit_now` was faster
            self._settle()
            self._turn_ended()

    def _settle(self) -> None:
        """Wait for the thread, if it is at work, and answer for its group."""
        if self._in_flight is None:
            return
        group, work = self._in_flight
        try:
            work.result()
        except Exception as error:
            self._in_flight = None
            self._fail(error, group)
        else:
            self._in_flight = None
            self._finish(group)

    def _write(self, stretches: list[Stretch]) -> None:
        self._log.write(stretches)
        if self._sync:
            began = time.perf_counter()
            self._log.sync(stretches)
            # One hiccup of the disk must not drive the next hundred groups into the thread.
            took_s = min(time.perf_counter() - began, 4 * SLOW_SYNC_S)
            self.mean_sync_s += _WEIGHT * (took_s - self.mean_sync_s)

    def _finish(self, group: Group) -> None:
        try:
            self._on_committed(group.entries)
        finally:
            group.tell(None)

    def _fail(self, error: Exception, group: Group) -> None:
        reason = str(error) if isinstance(error, OSError) else repr(error)
        self.fail(f"writing the commit log failed ({reason}): restart the broker once the disk is sound")
        group.tell(self.failure)
