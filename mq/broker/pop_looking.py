"""Looking at what a POP would give without taking it: code 200054 (is there anything?), 200052 (show it), 200055.

A client that asks 200054 is told as soon as there is a message for its group, and then pops; RocketMQ's proxy fronts
thousands of idle consumers that way. Who waits is held like a POP is (`pop_polling.py`); a filter plays no part, as the
request has none. 200052 shows messages, retries under the name of their own topic, and moves nothing; it does not wait.
200055 counts the POPs that are held.
Source: RocketMQ NotificationProcessor, PeekMessageProcessor, PollingInfoProcessor.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mq.broker.check_points import MAX_MESSAGES
from mq.broker.pop import PopProcessor
from mq.broker.pop_checks import require_consumable
from mq.broker.pop_polling import PollingRequest, PopPolling
from mq.broker.pop_receipts import pop_retry_topics
from mq.broker.subscription import MessageFilter
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    NotificationRequestHeader,
    NotificationResponseHeader,
    PeekMessageRequestHeader,
    PollingInfoRequestHeader,
    PollingInfoResponseHeader,
    PopMessageResponseHeader,
)
from mq.store.store import GetStatus

if TYPE_CHECKING:
    from mq.broker.app import Broker

NotificationRequest = PollingRequest[NotificationRequestHeader]


class PopLookingProcessor:
    def __init__(self, broker: Broker, pop: PopProcessor) -> None:
        self._broker = broker
        self._pop = pop
        self.polling = PopPolling(broker, self._look_again)
        self._turns = itertools.count()

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.NOTIFICATION: self._notification,
            RequestCode.PEEK_MESSAGE: self._peek,
            RequestCode.POLLING_INFO: self._polling_info,
        }

    # ---- is there anything?

    def _notification(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        header = command.header(NotificationRequestHeader)
        deadline_s = asyncio.get_running_loop().time() + max(header.poll_time, 0) / 1000
        return self._look_again(PollingRequest(connection, command, header, MessageFilter(), deadline_s))

    def _look_again(self, request: NotificationRequest) -> RemotingCommand | None:
        header = request.header
        require_consumable(self._broker, header.topic, header.queue_id, header.consumer_group)
        has_message = any(self._has_message(request, *place) for place in self._places(header, request.topics))
        code = None if has_message else self.polling.hold(request)
        if not has_message and code is None:
            return None
        answer = NotificationResponseHeader(has_message, polling_full=code == ResponseCode.POLLING_FULL)
        return request.command.respond(ext=answer)

    def _has_message(self, request: NotificationRequest, topic: str, queue_id: int) -> bool:
        header = request.header
        key = (header.consumer_group, topic, queue_id)
        if header.order and self._broker.orders.is_locked(key, header.attempt_id):
            return False
        return self._broker.store.max_offset(topic, queue_id) > self._pop.offsets.look(key)

    # ---- show it

    def _peek(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Code 19 when there is nothing."""
        header, store = command.header(PeekMessageRequestHeader), self._broker.store
        require_consumable(self._broker, header.topic, header.queue_id, header.consumer_group)
        count_left = min(max(header.max_msg_nums, 1), MAX_MESSAGES)
        bytes_left = self._broker.config.max_pull_bytes
        rest, records = 0, list[bytes]()
        topics = (header.topic, *pop_retry_topics(header.topic, header.consumer_group))
        for topic, queue_id in self._places(header, topics):
            start = self._pop.offsets.look((header.consumer_group, topic, queue_id))
            rest += max(store.max_offset(topic, queue_id) - start, 0)
            if count_left <= 0 or bytes_left <= 0:
                continue
            result = store.get(topic, queue_id, start, max_count=count_left, max_bytes=bytes_left)
            if result.status in (GetStatus.OFFSET_TOO_SMALL, GetStatus.OFFSET_OVERFLOW_BADLY):
                result = store.get(topic, queue_id, result.next_offset, max_count=count_left, max_bytes=bytes_left)
            records += result.records
            count_left -= len(result.records)
            bytes_left -= sum(map(len, result.records))
        code = 0 if records else ResponseCode.PULL_NOT_FOUND
        remark = "FOUND" if records else "NO_MESSAGE_IN_QUEUE"
        return command.respond(code, remark, PopMessageResponseHeader(0, 0, 0, rest), b"".join(records))

    def _places(
        self, header: NotificationRequestHeader | PeekMessageRequestHeader, topics: Iterable[str]
    ) -> Iterator[tuple[str, int]]:
        """The queues asked about, beginning with another one each time, and all of the topics of retries."""
        turn = next(self._turns)
        for topic in topics:
            config = self._broker.topics.get(topic)
            if topic == header.topic and header.queue_id >= 0:
                yield topic, header.queue_id
            elif config is not None:
                for place in range(config.read_queue_nums):
                    yield topic, (turn + place) % config.read_queue_nums

    # ---- who waits

    def _polling_info(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(PollingInfoRequestHeader)
        require_consumable(self._broker, header.topic, header.queue_id, header.consumer_group)
        count = self._pop.polling.count(header.topic, header.consumer_group, header.queue_id)
        return command.respond(ext=PollingInfoResponseHeader(count))
