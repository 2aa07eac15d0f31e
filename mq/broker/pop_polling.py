"""Requests by POP that found nothing and wait: by topic and group, a message wakes the first whose filter accepts it.

Whoever is woken looks again in a turn of its own, as what it finds is written to the revive log, and waits on until its
time is up when others were quicker. Source: RocketMQ PopLongPollingService.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mq.broker.pop_receipts import kind_of
from mq.remoting.codes import ResponseCode

if TYPE_CHECKING:
    from mq.broker.app import Broker
    from mq.broker.pop import PopRequest

#: More requests than this are not held but answered 209.
MAX_HELD: Final = 100_000
#: No client waits longer for an answer than this; RocketMQ's ask for 15 to 20 s.
MAX_HOLD_S: Final = 120.0

Waiting = dict["PopRequest", asyncio.TimerHandle]


class PopPolling:
    def __init__(self, broker: Broker, run_again: Callable[[PopRequest], None]) -> None:
        self._run_again = run_again
        #: By topic, the one asked for or its retries, and group.
        self._waiting: dict[str, dict[str, Waiting]] = {}
        self._count = 0
        self._is_stopped = False
        broker.store.add_arrival_listener(self._arrived)

    def __len__(self) -> int:
        return self._count

    def hold(self, request: PopRequest) -> ResponseCode | None:
        """Keep a request until there is something to answer; else the code that says why not."""
        loop = asyncio.get_running_loop()
        wait_s = min(request.deadline_s - loop.time(), MAX_HOLD_S)
        if wait_s <= 0 or self._is_stopped or request.command.is_oneway:
            return ResponseCode.POLLING_TIMEOUT
        if self._count >= MAX_HELD:
            return ResponseCode.POLLING_FULL
        timer = loop.call_later(wait_s, self._expire, request)
        for topic in (request.header.topic, request.retry_topic):
            self._waiting.setdefault(topic, {}).setdefault(request.header.consumer_group, {})[request] = timer
        self._count += 1
        return None

    def wake(self, topic: str, group: str) -> None:
        """Have the first that waits look again: there is more than the last one took."""
        for request in self._waiting.get(topic, {}).get(group, {}):
            self._release(request)
            return

    def _arrived(self, topic: str, queue_id: int, queue_offset_after: int, tag_code: int, text: bytes) -> None:
        groups = self._waiting.get(topic)
        if not groups:
            return
        is_retry = kind_of(topic) != "0"
        woken = []
        for waiting in groups.values():
            for request in waiting:
                if is_retry or (request.header.queue_id in (-1, queue_id) and request.filter.accepts(tag_code, text)):
                    woken.append(request)
                    break
        for request in woken:
            self._release(request)

    def _release(self, request: PopRequest) -> None:
        self._remove(request)
        asyncio.get_running_loop().call_soon(self._run_again, request)

    def _expire(self, request: PopRequest) -> None:
        request.deadline_s = 0.0
        self._remove(request)
        self._run_again(request)

    def _remove(self, request: PopRequest) -> None:
        group = request.header.consumer_group
        for topic in {request.header.topic, request.retry_topic}:
            groups = self._waiting[topic]
            groups[group].pop(request).cancel()
            if not groups[group]:
                del groups[group]
            if not groups:
                del self._waiting[topic]
        self._count -= 1

    def connection_closed(self, connection: object) -> None:
        """Forget the requests of a client that is gone."""
        for request in self._requests():
            if request.connection is connection:
                self._remove(request)

    def _requests(self) -> set[PopRequest]:
        return {each for groups in self._waiting.values() for waiting in groups.values() for each in waiting}

    async def start(self) -> None:
        self._is_stopped = False

    async def stop(self) -> None:
        """Answer whoever waits: the client asks again, and finds another broker or none."""
        self._is_stopped = True
        for request in self._requests():
            self._expire(request)
