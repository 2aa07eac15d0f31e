"""What a consumer holds of one message queue: fetched, not yet consumed, and where to go on.

The offset that may be committed is the lowest one not consumed, however far the others are: after a crash nothing is
skipped. Handlers finish in any order, so it is found when asked for, not kept up to date with every message.

Source: RocketMQ ProcessQueue.java; remoting sheet 12.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from mq.client.settings import ClientSettings
from mq.message import MessageQueue, ReceivedMessage


@dataclass(slots=True)
class FlowLimits:
    """How much of one queue is held before pulling waits for handlers: one object for all queues of a consumer."""

    max_messages: int
    max_bytes: int
    max_span: int

    @classmethod
    def of(cls, settings: ClientSettings) -> FlowLimits:
        return cls(settings.queue_max_messages, settings.queue_max_bytes, settings.queue_max_span)

    def share(self, settings: ClientSettings, queue_count: int, *, most: int | None = None) -> None:
        """Divide the limits of the whole topic, where there are some, among the queues that are ours now.

        `most` messages are held at most by all of them, whatever the settings say.
        """
        if settings.topic_max_messages > 0 and queue_count:
            self.max_messages = max(1, settings.topic_max_messages // queue_count)
        if settings.topic_max_bytes > 0 and queue_count:
            self.max_bytes = max(1, settings.topic_max_bytes // queue_count)
        if most is not None and queue_count:
            self.max_messages = min(settings.queue_max_messages, max(1, most // queue_count))


class ProcessQueue:
    """Belongs to the event loop; only `is_dropped` and `lease_ends_at` are read by handler threads.

    Units: `next_offset` and all queue offsets in messages; `lease_ends_at` on the loop's clock, in seconds.
    """

    def __init__(self, queue: MessageQueue, next_offset: int, limits: FlowLimits) -> None:
        self.queue = queue
        self.next_offset = next_offset
        #: No longer ours: nothing more of it is handed out, and what handlers still finish is not counted.
        self.is_dropped = False
        self.lease_ends_at = 0.0
        self.last_locked_at = 0.0
        self.last_pulled_at = 0.0
        self.last_consumed_at = 0.0
        self._limits = limits
        self._is_paused = False
        # In the order of queue offsets, because pulls are, so the first key is the lowest offset not consumed.
        self._messages: dict[int, ReceivedMessage] = {}
        # What each weighs in memory: a body that was compressed may be a thousand times its record.
        self._weights: dict[int, int] = {}
        self._held_bytes = 0
        self._is_positioned = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def first_offset(self) -> int:
        """The lowest offset held; where the next pull begins when nothing is."""
        return next(iter(self._messages), self.next_offset)

    @property
    def commit_offset(self) -> int | None:
        """Everything below it is done; None while the broker has not yet confirmed where this queue stands."""
        return self.first_offset if self._is_positioned else None

    @property
    def is_full(self) -> bool:
        """Whether pulling should wait: for handlers, or because it is paused."""
        if self._is_paused:
            return True
        count = len(self._messages)
        if count == 0:
            return False
        return (
            count >= self._limits.max_messages
            or self._held_bytes >= self._limits.max_bytes
            or self.next_offset - self.first_offset > self._limits.max_span
        )

    def put(self, messages: Sequence[ReceivedMessage], next_offset: int) -> None:
        """Take in what a pull brought; `next_offset` is the broker's, beyond what its filter examined."""
        held, weights = self._messages, self._weights
        for message in messages:
            queue_offset, weight = message.queue_offset, max(message.record_bytes, len(message.body))
            self._held_bytes += weight - weights.get(queue_offset, 0)
            held[queue_offset], weights[queue_offset] = message, weight
        self.next_offset = next_offset
        self._is_positioned = True
        if messages:
            self._changed.set()

    def remove(self, messages: Iterable[ReceivedMessage]) -> None:
        """These are consumed (or sent back): they no longer hold back the commit offset."""
        for message in messages:
            if self._messages.pop(message.queue_offset, None) is not None:
                self._held_bytes -= self._weights.pop(message.queue_offset)
        self._changed.set()

    def first(self, count: int) -> list[ReceivedMessage]:
        """The `count` lowest messages held, which stay held."""
        return list(islice(self._messages.values(), count))

    @property
    def is_paused(self) -> bool:
        """Nothing more is pulled or handed out until it is no longer."""
        return self._is_paused

    @is_paused.setter
    def is_paused(self, is_paused: bool) -> None:
        self._is_paused = is_paused
        self._changed.set()

    def drop(self) -> None:
        self.is_dropped = True
        self._changed.set()

    async def wait_for_room(self) -> None:
        """Return when the queue is no longer full, or dropped."""
        while self.is_full and not self.is_dropped:
            await self._next_change()

    async def wait_for_messages(self) -> None:
        """Return when something is held, or the queue is dropped."""
        while not self._messages and not self.is_dropped:
            await self._next_change()

    async def wait_until_dropped(self, timeout_s: float) -> None:
        """Return when the queue is dropped, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_dropped:
                    await self._next_change()
        except TimeoutError:
            return

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
