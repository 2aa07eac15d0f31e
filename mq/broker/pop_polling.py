"""Requests about POP that found nothing and wait: by topic and group, a message wakes the first that wants it.

Whoever is woken looks again in a turn of its own, as what it finds is written to the revive log, and waits on until its
time is up when others were quicker. Source: RocketMQ PopLongPollingService.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from mq.broker.pop_checks import ANY_QUEUE
from mq.broker.pop_receipts import kind_of, pop_retry_topics
from mq.broker.subscription import MessageFilter
from mq.errors import MQError, ResponseError
from mq.remoting.codes import ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import NotificationRequestHeader, PopMessageRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: More requests than this are not held but answered 209.
MAX_HELD: Final = 100_000
#: No client waits longer for an answer than this; RocketMQ's ask for 15 to 20 s.
MAX_HOLD_S: Final = 120.0

AsksBy = TypeVar("AsksBy", bound=PopMessageRequestHeader | NotificationRequestHeader)


@dataclass(slots=True, eq=False)
class PollingRequest(Generic[AsksBy]):
    """A request that passed the checks, as it is held; `deadline_s` by the loop's clock."""

    connection: Connection
    command: RemotingCommand
    header: AsksBy
    filter: MessageFilter
    deadline_s: float

    @property
    def topics(self) -> tuple[str, ...]:
        """The topic asked for, and those of its retries unless these have no place in an order."""
        header = self.header
        return header.topic, *(() if header.order else pop_retry_topics(header.topic, header.consumer_group))

    def wants_of(self, queue_id: int) -> bool:
        return self.header.queue_id in (ANY_QUEUE, queue_id)


Waiting = dict[PollingRequest[AsksBy], asyncio.TimerHandle]


class PopPolling(Generic[AsksBy]):
    def __init__(self, broker: Broker, look: Callable[[PollingRequest[AsksBy]], RemotingCommand | None]) -> None:
        """`look` answers a request by what is there now, or holds it again; it raises what it refuses."""
        self._look = look
        #: By topic, the one asked for or its retries, and group.
        self._waiting: dict[str, dict[str, Waiting[AsksBy]]] = {}
        self._count = 0
        self._is_stopped = False
        broker.store.add_arrival_listener(self._arrived)

    def __len__(self) -> int:
        return self._count

    def hold(self, request: PollingRequest[AsksBy]) -> ResponseCode | None:
        """Keep a request until there is something to answer; else the code that says why not."""
        loop = asyncio.get_running_loop()
        wait_s = min(request.deadline_s - loop.time(), MAX_HOLD_S)
        if wait_s <= 0 or self._is_stopped or request.command.is_oneway:
            return ResponseCode.POLLING_TIMEOUT
        if self._count >= MAX_HELD:
            return ResponseCode.POLLING_FULL
        timer = loop.call_later(wait_s, self._expire, request)
        for topic in request.topics:
            self._waiting.setdefault(topic, {}).setdefault(request.header.consumer_group, {})[request] = timer
        self._count += 1
        return None

    def count(self, topic: str, group: str, queue_id: int) -> int:
        """Requests of a group that name this topic and this queue, or -1 for any."""
        waiting = self._waiting.get(topic, {}).get(group, {})
        return sum((each.header.topic, each.header.queue_id) == (topic, queue_id) for each in waiting)

    def wake(self, topic: str, group: str, queue_id: int = ANY_QUEUE) -> None:
        """Have the first that waits for this queue look again: there is more than the last one took."""
        for request in self._waiting.get(topic, {}).get(group, {}):
            if queue_id == ANY_QUEUE or request.wants_of(queue_id):
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
                if is_retry or (request.wants_of(queue_id) and request.filter.accepts(tag_code, text)):
                    woken.append(request)
                    break
        for request in woken:
            self._release(request)

    def _release(self, request: PollingRequest[AsksBy]) -> None:
        self._remove(request)
        asyncio.get_running_loop().call_soon(self._run_again, request)

    def _expire(self, request: PollingRequest[AsksBy]) -> None:
        request.deadline_s = 0.0
        self._remove(request)
        self._run_again(request)

    def _run_again(self, request: PollingRequest[AsksBy]) -> None:
        if request.connection.is_closed:
            self.wake(request.header.topic, request.header.consumer_group)
            return
        try:
            response = self._look(request)
        except MQError as error:
            code = error.code if isinstance(error, ResponseError) else ResponseCode.SYSTEM_ERROR
            response = request.command.respond(code, str(error))
        if response is not None:
            request.connection.send(response)

    def _remove(self, request: PollingRequest[AsksBy]) -> None:
        group = request.header.consumer_group
        for topic in request.topics:
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

    def _requests(self) -> set[PollingRequest[AsksBy]]:
        return {each for groups in self._waiting.values() for waiting in groups.values() for each in waiting}

    async def start(self) -> None:
        self._is_stopped = False

    async def stop(self) -> None:
        """Answer whoever waits: the client asks again, and finds another broker or none."""
        self._is_stopped = True
        for request in self._requests():
            self._expire(request)
