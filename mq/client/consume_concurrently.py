"""Consuming without order: batches of all queues run side by side, and what fails goes back to the broker.

A batch holds back the commit offset of its queue until it succeeded or the broker took it back for a later try; so a
message is either done, or in a retry topic, or below the committed offset's reach and delivered again.

Source: RocketMQ ConsumeMessageConcurrentlyService.java; remoting sheet 6.5.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from mq.client import handlers
from mq.client.background import spawn, wait_for
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.executors import TaskExecutor, ThreadExecutor
from mq.client.handlers import Handler, Outcome
from mq.client.process_queue import ProcessQueue
from mq.message import ReceivedMessage

#: Gives one message back to the broker; False when the broker could not be told.
SendBack = Callable[[ProcessQueue, ReceivedMessage, int], Awaitable[bool]]

#: What neither the broker nor its retry topic would take is tried again here, after this long.
_LOCAL_RETRY_S = 5.0
#: The delay level of a message whose handler exceeded the consume timeout (10 s).
_TIMEOUT_DELAY_LEVEL = 3


class _Batch:
    __slots__ = ("messages", "process_queue", "started_at")

    def __init__(self, process_queue: ProcessQueue, messages: list[ReceivedMessage]) -> None:
        self.process_queue = process_queue
        self.messages = messages
        self.started_at = 0.0


class ConcurrentConsumption:
    def __init__(
        self,
        group: str,
        handler: Handler,
        statistics: ConsumeStatistics,
        *,
        threads: int,
        batch_size: int,
        timeout_s: float,
        send_back: SendBack,
    ) -> None:
        self._group = group
        self._handler = handler
        self._statistics = statistics
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self._send_back = send_back
        self._open: set[_Batch] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._threads: ThreadExecutor | None = None
        self._workers: TaskExecutor[_Batch, Outcome | None] | None = None
        if handlers.is_async(handler):
            self._workers = TaskExecutor(threads, self._call_async, self._finish)
        else:
            self._threads = ThreadExecutor(threads, f"consume-{group}")

    def add(self, process_queue: ProcessQueue) -> None:
        """Nothing to prepare: batches come by `submit`."""

    async def release(self, process_queue: ProcessQueue) -> None:
        """Nothing to wait for: what is still running is not counted, and whoever gets the queue runs it again."""

    def submit(self, process_queue: ProcessQueue, messages: list[ReceivedMessage]) -> None:
        for start in range(0, len(messages), self._batch_size):
            batch = _Batch(process_queue, messages[start : start + self._batch_size])
            self._open.add(batch)
            if self._threads is not None:
                self._threads.submit(self._call, batch, self._finish)
            elif self._workers is not None:
                self._workers.submit(batch)

    def give_up_overdue(self) -> None:
        """Send back what a handler has held longer than the consume timeout, so that it stops blocking the commit."""
        limit = time.monotonic() - self._timeout_s
        for batch in [batch for batch in self._open if 0.0 < batch.started_at < limit]:
            self._open.discard(batch)
            self._spawn(self._retry(batch.process_queue, batch.messages, _TIMEOUT_DELAY_LEVEL))

    def stop_handing_out(self) -> None:
        """Start nothing more."""
        self._stopping.set()

    async def finish(self, grace_s: float) -> bool:
        """Wait for what still runs; False when something ran after `grace_s`, which is left to itself."""
        try:
            async with asyncio.timeout(grace_s):
                while self._open or self._tasks:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            pass
        for task in self._tasks:
            task.cancel()
        if self._threads is not None:
            self._threads.stop()
        if self._workers is not None:
            self._workers.stop()
        return not self._open

    def _call(self, batch: _Batch) -> Outcome | None:
        if self._stopping.is_set() or batch.process_queue.is_dropped:
            return None
        batch.started_at = time.monotonic()
        return handlers.call(self._handler, batch.messages)

    async def _call_async(self, batch: _Batch) -> Outcome | None:
        if self._stopping.is_set() or batch.process_queue.is_dropped:
            return None
        batch.started_at = time.monotonic()
        return await handlers.call_async(self._handler, batch.messages)

    def _finish(self, batch: _Batch, outcome: Outcome | None) -> None:
        is_overdue = batch not in self._open
        self._open.discard(batch)
        if not self._open:
            self._idle.set()
        if outcome is None or is_overdue:
            return
        result = handlers.settle(self._group, batch.messages, outcome)
        if batch.process_queue.is_dropped:
            return
        count = len(batch.messages)
        done = result.done(count)
        now = batch.process_queue.last_consumed_at = time.monotonic()
        self._statistics.count_batch(batch.process_queue.queue.topic, done, count - done, now - batch.started_at)
        if done == count:
            batch.process_queue.remove(batch.messages)
            return
        batch.process_queue.remove(batch.messages[:done])
        self._spawn(self._retry(batch.process_queue, batch.messages[done:], result.delay_level))

    async def _retry(self, process_queue: ProcessQueue, messages: list[ReceivedMessage], delay_level: int) -> None:
        refused = []
        for message in messages:
            if await self._send_back(process_queue, message, delay_level):
                process_queue.remove([message])
            else:
                message.reconsume_times += 1
                refused.append(message)
        if refused:
            await wait_for(self._stopping, _LOCAL_RETRY_S)
            self.submit(process_queue, refused)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = spawn(work, f"send back of group {self._group}")
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._idle.set()
