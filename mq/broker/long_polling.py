"""Pulls that found nothing and wait for a message, so that consumers neither ask in a loop nor wait for one.

A pull is held by queue. It is woken in the turn in which a message that its filter accepts became durable, or when the
time its client asked for is up; either way it runs again and is answered.
Source: RocketMQ PullRequestHoldService.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from mq.errors import ResponseError
from mq.remoting.codes import ResponseCode
from mq.remoting.connection import Connection

if TYPE_CHECKING:
    from mq.broker.app import Broker
    from mq.broker.pull import PullRequest

#: More pulls than this are refused, of all and of one connection: a client that is refused pauses, one that is told
#: "nothing found" asks again at once.
MAX_HELD: Final = 100_000
MAX_HELD_PER_CONNECTION: Final = 16_384
#: No client waits longer for an answer than this; RocketMQ's ask for 15 to 20 s.
MAX_HOLD_MS: Final = 120_000


class LongPolling:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._held: dict[tuple[str, int], dict[PullRequest, asyncio.TimerHandle]] = {}
        self._count = 0
        self._held_by: Counter[Connection] = Counter()
        self._is_stopped = False
        broker.store.add_arrival_listener(self._arrived)

    def __len__(self) -> int:
        return self._count

    def hold(self, request: PullRequest) -> bool:
        """Keep a pull until there is something to answer; False when it cannot be kept because we stop.

        Raises: ResponseError: 2, too many are held.
        """
        if self._is_stopped:
            return False
        of_connection = self._held_by[request.connection]
        if self._count >= MAX_HELD or of_connection >= MAX_HELD_PER_CONNECTION:
            raise ResponseError(
                ResponseCode.SYSTEM_BUSY,
                f"{self._count} pulls are held, {of_connection} of this connection: {MAX_HELD} and "
                f"{MAX_HELD_PER_CONNECTION} at most",
            )
        config = self._broker.config
        hold_ms = min(max(request.hold_ms, 0), MAX_HOLD_MS) if config.long_polling else config.short_polling_ms
        queue = (request.header.topic, request.header.queue_id)
        timer = asyncio.get_running_loop().call_later(hold_ms / 1000, self._release, queue, request)
        self._held.setdefault(queue, {})[request] = timer
        self._count += 1
        self._held_by[request.connection] = of_connection + 1
        return True

    def _arrived(self, topic: str, queue_id: int, queue_offset_after: int, tag_code: int, text: bytes) -> None:
        queue = (topic, queue_id)
        waiting = self._held.get(queue)
        if not waiting:
            return
        woken = [
            request
            for request in waiting
            if queue_offset_after > request.header.queue_offset and request.filter.accepts(tag_code, text)
        ]
        for request in woken:
            self._release(queue, request)

    def wake(self, group: str, topic: str, queue_id: int) -> None:
        """Run the pulls of a group again that are held at a queue."""
        queue = (topic, queue_id)
        for request in [each for each in self._held.get(queue, ()) if each.header.consumer_group == group]:
            self._release(queue, request)

    def _release(self, queue: tuple[str, int], request: PullRequest) -> None:
        waiting = self._held[queue]
        waiting.pop(request).cancel()
        if not waiting:
            del self._held[queue]
        self._count -= 1
        self._held_by[request.connection] -= 1
        if not request.connection.is_closed:
            self._broker.pull.run_again(request)

    def connection_closed(self, connection: Connection) -> None:
        """Forget the pulls of a client that is gone; a consumer holds one per queue, so this is a short list."""
        for queue, waiting in list(self._held.items()):
            for request in [request for request in waiting if request.connection is connection]:
                self._release(queue, request)
        self._held_by.pop(connection, None)

    async def start(self) -> None:
        self._is_stopped = False

    async def stop(self) -> None:
        """Answer whoever waits: the client asks again, and finds another broker or none."""
        self._is_stopped = True
        for queue, waiting in list(self._held.items()):
            for request in list(waiting):
                self._release(queue, request)
