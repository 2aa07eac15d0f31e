"""What was pulled and waits to be asked for: the consumption of a consumer that polls.

Source: RocketMQ DefaultLitePullConsumerImpl.consumeRequestCache.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mq.client.process_queue import ProcessQueue
from mq.message import ReceivedMessage


class Arrivals:
    """In the order of arrival, except that queues which are paused wait."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[ProcessQueue, list[ReceivedMessage]]] = deque()
        self._changed = asyncio.Event()

    async def take(self, count: int, timeout_s: float) -> tuple[ProcessQueue, list[ReceivedMessage]] | None:
        """Up to `count` messages of one queue, which stay held by it; None when none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while (taken := self._take(count)) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return None
        return taken

    def look_again(self) -> None:
        """A queue is no longer paused."""
        self._changed.set()

    def _take(self, count: int) -> tuple[ProcessQueue, list[ReceivedMessage]] | None:
        self._waiting = deque(entry for entry in self._waiting if not entry[0].is_dropped)
        for position, (process_queue, messages) in enumerate(self._waiting):
            if not process_queue.is_paused:
                given, rest = messages[:count], messages[count:]
                if rest:
                    self._waiting[position] = process_queue, rest
                else:
                    del self._waiting[position]
                return process_queue, given
        return None

    # ---- what `AssignedQueue` asks of a consumption

    def add(self, process_queue: ProcessQueue) -> None:
        """Nothing to prepare: messages come by `submit`."""

    def submit(self, process_queue: ProcessQueue, messages: list[ReceivedMessage]) -> None:
        self._waiting.append((process_queue, messages))
        self._changed.set()

    async def release(self, process_queue: ProcessQueue) -> None:
        """Nothing to wait for: what was given out of it is not counted any more."""

    def give_up_overdue(self) -> None:
        """Nobody is late: it is the user who asks."""

    def stop_handing_out(self) -> None:
        """Nothing is handed out."""

    async def finish(self, grace_s: float) -> bool:
        """Nothing runs here."""
        return True
