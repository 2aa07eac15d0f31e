"""Consuming in order: one batch of a queue at a time, under the broker's lock; a failure stops the queue for a moment.

The lock is a lease. When it was not renewed in time somebody else may have consumed the queue's next messages, so what
is held is thrown away and the queue, if it is still ours, begins again at the committed offset.
RocketMQ keeps such messages and goes on with them, which can hand a key's older messages out after its newer ones.

Source: RocketMQ ConsumeMessageOrderlyService.java; remoting sheet 6.4 and 6.5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from mq.client import handlers
from mq.client.background import spawn
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.executors import ThreadExecutor
from mq.client.handlers import Handler, Outcome
from mq.client.process_queue import ProcessQueue
from mq.client.results import SUCCESS, ConsumeResult
from mq.message import ReceivedMessage

#: Gives up on one message: to the retry topic, where the broker makes it a dead letter. False: it could not be told.
GiveUp = Callable[[ProcessQueue, ReceivedMessage], Awaitable[bool]]

#: A thread works through this many messages of one queue, or for this long, before it reports and others get a turn.
_CHUNK_MESSAGES = 64
_CHUNK_S = 0.05

#: How far a chunk came, and the failure that ended it.
_Progress = tuple[int, Outcome]


class OrderlyConsumption:
    def __init__(
        self,
        group: str,
        handler: Handler,
        statistics: ConsumeStatistics,
        *,
        threads: int,
        batch_size: int,
        suspend_s: float,
        max_reconsume_times: int,
        give_up: GiveUp,
        on_lock_lost: Callable[[ProcessQueue], None],
    ) -> None:
        self._group = group
        self._handler = handler
        self._statistics = statistics
        self._batch_size = batch_size
        self._suspend_s = suspend_s
        self._max_reconsume_times = max_reconsume_times
        self._give_up = give_up
        self._on_lock_lost = on_lock_lost
        self._tasks: dict[ProcessQueue, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(threads)
        self._threads = None if handlers.is_async(handler) else ThreadExecutor(threads, f"consume-{group}")

    def add(self, process_queue: ProcessQueue) -> None:
        self._tasks[process_queue] = spawn(self._consume(process_queue), f"consuming {process_queue.queue}")

    async def release(self, process_queue: ProcessQueue) -> None:
        """Return when no handler runs for this dropped queue any more: only then may somebody else have its lock."""
        task = self._tasks.get(process_queue)
        if task is not None:
            await asyncio.wait([task])
            self._tasks.pop(process_queue, None)

    def submit(self, process_queue: ProcessQueue, messages: list[ReceivedMessage]) -> None:
        """Nothing to do: the queue's own task takes them from the process queue, one batch after the other."""

    def give_up_overdue(self) -> None:
        """A slow handler keeps its queue: letting the next message overtake would break the order."""

    def stop_handing_out(self) -> None:
        """Start nothing more."""
        for process_queue in self._tasks:
            process_queue.drop()

    async def finish(self, grace_s: float) -> bool:
        """Wait for what still runs; False when something ran after `grace_s`, which is left to itself."""
        running = list(self._tasks.values())
        _, late = await asyncio.wait(running, timeout=grace_s) if running else ((), ())
        for task in late:
            task.cancel()
        if self._threads is not None:
            self._threads.stop()
        return not late

    async def _consume(self, process_queue: ProcessQueue) -> None:
        while True:
            await process_queue.wait_for_messages()
            if process_queue.is_dropped:
                return
            if process_queue.lease_ends_at <= time.monotonic():
                self._on_lock_lost(process_queue)
                return
            chunk = process_queue.first(max(_CHUNK_MESSAGES, self._batch_size))
            began_at = time.monotonic()
            done, outcome = await self._run(process_queue, chunk)
            process_queue.last_consumed_at = time.monotonic()
            process_queue.remove(chunk[:done])
            failed = [] if outcome is SUCCESS else chunk[done : done + self._batch_size]
            # By batches, of which a chunk has several.
            took_s = (process_queue.last_consumed_at - began_at) / (-(-done // self._batch_size) + bool(failed) or 1)
            self._statistics.count_batch(process_queue.queue.topic, done, len(failed), took_s)
            if failed:
                handlers.settle(self._group, failed, outcome)
                await self._suspend(process_queue, failed)

    async def _run(self, process_queue: ProcessQueue, chunk: list[ReceivedMessage]) -> _Progress:
        if self._threads is not None:
            return await self._threads.run(self._run_chunk, (process_queue, chunk))
        async with self._slots:
            return await self._run_chunk_async(process_queue, chunk)

    def _run_chunk(self, work: tuple[ProcessQueue, list[ReceivedMessage]]) -> _Progress:
        process_queue, chunk = work
        done, ends_at = 0, time.monotonic() + _CHUNK_S
        while done < len(chunk) and self._may_go_on(process_queue, ends_at, done):
            batch = chunk[done : done + self._batch_size]
            outcome = handlers.call(self._handler, batch)
            done, is_failed = self._count(done, batch, outcome)
            if is_failed:
                return done, outcome
        return done, SUCCESS

    async def _run_chunk_async(self, process_queue: ProcessQueue, chunk: list[ReceivedMessage]) -> _Progress:
        done, ends_at = 0, time.monotonic() + _CHUNK_S
        while done < len(chunk) and self._may_go_on(process_queue, ends_at, done):
            batch = chunk[done : done + self._batch_size]
            outcome = await handlers.call_async(self._handler, batch)
            done, is_failed = self._count(done, batch, outcome)
            if is_failed:
                return done, outcome
        await asyncio.sleep(0)  # A handler that never waits must not keep the loop from its other work.
        return done, SUCCESS

    def _may_go_on(self, process_queue: ProcessQueue, ends_at: float, done: int) -> bool:
        now = time.monotonic()
        if process_queue.is_dropped or process_queue.lease_ends_at <= now:
            return False
        return done == 0 or now < ends_at

    def _count(self, done: int, batch: list[ReceivedMessage], outcome: Outcome) -> tuple[int, bool]:
        consumed = outcome.done(len(batch)) if isinstance(outcome, ConsumeResult) else 0
        return done + consumed, consumed < len(batch)

    async def _suspend(self, process_queue: ProcessQueue, failed: list[ReceivedMessage]) -> None:
        """Count the failure, give up on what failed too often, and let the queue rest."""
        for message in failed:
            if message.reconsume_times >= self._max_reconsume_times and await self._give_up(process_queue, message):
                process_queue.remove([message])
            else:
                message.reconsume_times += 1
        await process_queue.wait_until_dropped(self._suspend_s)
