"""The broker as a curious operator sees it: which messages carried an order, who still has some to consume."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from config.environment import SERVICES
from messaging import topics
from mq.client import Admin, Producer, SendResult
from mq.errors import MQError
from mq.message import Message, ReceivedMessage

_PER_TOPIC_MAX = 64
_LOOK_EVERY_S = 0.1


class Broker:
    """Asks over RocketMQ's own protocol; use it from one thread, inside `with`."""

    def __init__(self, namesrv: str) -> None:
        self._namesrv = namesrv
        self._runner = asyncio.Runner()
        self._admin = Admin(namesrv=namesrv)
        self._topics = sorted(topics.of_services(SERVICES))

    def __enter__(self) -> Self:
        self._runner.run(self._admin.start())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._runner.run(self._admin.stop())
        self._runner.close()

    def messages_of(self, order_no: str) -> list[ReceivedMessage]:
        """Every message that has the order's number among its keys, oldest first; what a broker in a crash can tell."""
        return self._runner.run(self._query(order_no))

    def send_again(self, message: ReceivedMessage, times: int) -> SendResult:
        """Send a message once more as it is: for its consumers, the same event is delivered again. The last copy."""
        return self._runner.run(self._send_again(message, times))

    def wait_until_consumed(self, sent: SendResult, groups: Iterable[str], *, timeout_s: float) -> bool:
        """Whether all of the groups have committed what was sent in time."""
        waiting = set(groups)
        deadline_s = time.monotonic() + timeout_s
        while waiting and time.monotonic() < deadline_s:
            offsets = {group: self._runner.run(self._admin.consumer_offset(group, sent.queue)) for group in waiting}
            waiting = {group for group, queue_offset in offsets.items() if (queue_offset or 0) <= sent.queue_offset}
            time.sleep(_LOOK_EVERY_S)
        return not waiting

    async def _query(self, key: str) -> list[ReceivedMessage]:
        answers = await asyncio.gather(
            *(self._admin.query_message(topic, key, max_count=_PER_TOPIC_MAX) for topic in self._topics),
            return_exceptions=True,
        )
        found: list[ReceivedMessage] = []
        for answer in answers:
            if isinstance(answer, MQError):
                continue  # no such topic yet, or the broker is on its way back
            if isinstance(answer, BaseException):
                raise answer
            found += answer
        return sorted(found, key=lambda message: (message.store_timestamp_ms, message.commit_log_offset))

    async def _send_again(self, message: ReceivedMessage, times: int) -> SendResult:
        async with Producer("tour", namesrv=self._namesrv) as producer:
            sent = [await producer.send(_copy(message)) for _ in range(times)]
        return sent[-1]


def _copy(message: ReceivedMessage) -> Message:
    return Message(message.topic, message.body, tag=message.tag, keys=message.keys, sharding_key=message.sharding_key)
