"""Running handlers without a task or a future per batch: plain functions in threads, coroutines in worker tasks.

Both take work from one queue, so a slow handler holds back one worker only, and both report on the event loop:
`finish(work, outcome)`, where `outcome` is what the function returned. Functions given here must not raise.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Work = TypeVar("Work")
Outcome = TypeVar("Outcome")

#: How many coroutines that never waited run in a row before the loop gets its turn.
_RUN_LENGTH = 32


class ThreadExecutor:
    """Up to `count` threads, started as needed. Finished work wakes the loop once for many, not once for each."""

    def __init__(self, count: int, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = count
        self._name = name
        self._work: SimpleQueue[tuple[Callable[[Any], Any], Any, Callable[[Any, Any], None]] | None] = SimpleQueue()
        self._finished: deque[tuple[Callable[[Any, Any], None], Any, Any]] = deque()
        self._is_woken = False
        self._thread_count = 0
        self._open_count = 0

    def submit(self, function: Callable[[Work], Outcome], work: Work, finish: Callable[[Work, Outcome], None]) -> None:
        self._open_count += 1
        if self._thread_count < min(self._open_count, self._count):
            self._thread_count += 1
            # Daemons: a process that forgot to stop its consumer must still be able to end.
            threading.Thread(target=self._run, name=f"{self._name}-{self._thread_count}", daemon=True).start()
        self._work.put((function, work, finish))

    async def run(self, function: Callable[[Work], Outcome], work: Work) -> Outcome:
        """Submit and wait; when the waiting is canceled the function still runs to its end."""
        future: asyncio.Future[Outcome] = self._loop.create_future()

        def finish(_work: Work, outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.submit(function, work, finish)
        return await future

    def stop(self) -> None:
        """Let the threads end after what was submitted."""
        for _ in range(self._thread_count):
            self._work.put(None)
        self._thread_count = self._count = 0

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            function, work, finish = item
            self._finished.append((finish, work, function(work)))
            if not self._is_woken:
                self._is_woken = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    return  # The loop was closed under us: nobody is left to tell.

    def _deliver(self) -> None:
        # Cleared first: what a thread appends from here on is either seen below or wakes the loop again.
        self._is_woken = False
        finished = self._finished
        while finished:
            finish, work, outcome = finished.popleft()
            self._open_count -= 1
            finish(work, outcome)


class TaskExecutor(Generic[Work, Outcome]):
    """`count` worker tasks on the loop; one item runs in one worker from its beginning to its end."""

    def __init__(
        self, count: int, function: Callable[[Work], Awaitable[Outcome]], finish: Callable[[Work, Outcome], None]
    ) -> None:
        self._function = function
        self._finish = finish
        self._work: deque[Work] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers = [asyncio.create_task(self._run()) for _ in range(count)]

    def submit(self, work: Work) -> None:
        self._work.append(work)
        if self._idle:
            self._idle.popleft().set_result(None)

    def stop(self) -> None:
        for worker in self._workers:
            worker.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        run_length = 0
        while True:
            while not self._work:
                run_length = 0
                future = loop.create_future()
                self._idle.append(future)
                await future
            work = self._work.popleft()
            self._finish(work, await self._function(work))
            run_length += 1
            if run_length >= _RUN_LENGTH:
                run_length = 0
                await asyncio.sleep(0)
