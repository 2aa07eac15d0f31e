"""Answering pulls: which messages of a queue a consumer gets, and what it is told when there are none.

| situation                                   | code | next offset              |
| ------------------------------------------- | ---- | ------------------------ |
| messages match                              | 0    | behind the last examined |
| messages, none matches                      | 20   | behind the last examined |
| offset is the queue's end                   | 19   | the same; held if asked  |
| no messages in the queue, offset 0          | 19   | 0; held if asked         |
| beyond the end, before the start, not 0     | 21   | the end, the start, 0    |
| the group's offset was reset                | 21   | where it was reset to    |

A held pull runs once more, without being held again, when a message arrives or its time is up.
Source: RocketMQ PullMessageProcessor, DefaultPullMessageResultHandler; DefaultMessageStore.getMessage.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mq.broker import subscription
from mq.broker.subscription import MessageFilter
from mq.broker.system_names import PERM_READ
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import PullMessageRequestHeader, PullSysFlag
from mq.store.store import GetStatus

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

_CODES: Final = {
    GetStatus.FOUND: ResponseCode.SUCCESS,
    GetStatus.NO_MATCHED: ResponseCode.PULL_RETRY_IMMEDIATELY,
    GetStatus.OFFSET_OVERFLOW_ONE: ResponseCode.PULL_NOT_FOUND,
    GetStatus.OFFSET_OVERFLOW_BADLY: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.OFFSET_TOO_SMALL: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.NO_MESSAGE_IN_QUEUE: ResponseCode.PULL_OFFSET_MOVED,
    GetStatus.NO_QUEUE: ResponseCode.PULL_OFFSET_MOVED,
}


@dataclass(slots=True, eq=False)
class PullRequest:
    """A pull that passed the checks, as it is held."""

    connection: Connection
    command: RemotingCommand
    header: PullMessageRequestHeader
    filter: MessageFilter

    @property
    def hold_ms(self) -> int:
        return self.header.suspend_timeout_millis


class PullProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.PULL_MESSAGE: self._pull, RequestCode.LITE_PULL_MESSAGE: self._pull}

    def _pull(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        header = command.header(PullMessageRequestHeader)
        wanted = self._check(header)
        if header.sys_flag & PullSysFlag.COMMIT_OFFSET:
            self._broker.offsets.commit(header.consumer_group, header.topic, header.queue_id, header.commit_offset)
        request = PullRequest(connection, command, header, wanted)
        response = self._read(request)
        may_hold = header.sys_flag & PullSysFlag.SUSPEND and not command.is_oneway
        if response.code == ResponseCode.PULL_NOT_FOUND and may_hold and self._broker.long_polling.hold(request):
            return None
        return response

    def run_again(self, request: PullRequest) -> None:
        """Answer a pull that was held: by what is there now."""
        command = request.command
        try:
            request.filter = self._check(request.header)  # the subscription may have changed meanwhile
            response = self._read(request)
        except ResponseError as error:
            response = command.respond(error.code, error.remark)
        except Exception as error:  # whatever it is, the commit that woke us has others to tell
            logger.exception("a held pull of %s failed", request.header.topic)
            response = command.respond(ResponseCode.SYSTEM_ERROR, str(error))
        request.connection.send(response)

    # ---- what may be read

    def _check(self, header: PullMessageRequestHeader) -> MessageFilter:
        """The checks in RocketMQ's order; gives what to filter by.

        Raises: ResponseError: 16, 26, 17, 29, or what is wrong with the subscription.
        """
        broker = self._broker
        if not broker.config.permission & PERM_READ:
            raise ResponseError(
                ResponseCode.NO_PERMISSION,
                f"the broker[{broker.config.advertised_address}] pulling message is forbidden",
            )
        group = broker.groups.find_or_create(header.consumer_group)
        if group is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST,
                f"subscription group [{header.consumer_group}] does not exist",
            )
        if not group.consume_enable:
            raise ResponseError(
                ResponseCode.NO_PERMISSION, f"subscription group no permission, {header.consumer_group}"
            )
        topic = broker.topics.get(header.topic)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{header.topic}] not exist, apply first please!")
        if not topic.perm & PERM_READ:
            raise ResponseError(ResponseCode.NO_PERMISSION, f"the topic[{header.topic}] pulling message is forbidden")
        if not 0 <= header.queue_id < topic.read_queue_nums:
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER,
                f"queueId[{header.queue_id}] is illegal: topic[{header.topic}] has {topic.read_queue_nums} read queues",
            )
        if broker.groups.is_reading_forbidden(header.consumer_group, header.topic):
            raise ResponseError(
                ResponseCode.NO_PERMISSION,
                f"the consumer group[{header.consumer_group}] is forbidden for topic[{header.topic}]",
            )
        if header.sys_flag & PullSysFlag.SUBSCRIPTION:
            subscription.require_supported(header.expression_type, broker.config)
            return subscription.parse(header.subscription, header.expression_type)
        return self._subscribed(header, may_broadcast=group.consume_broadcast_enable)

    def _subscribed(self, header: PullMessageRequestHeader, *, may_broadcast: bool) -> MessageFilter:
        """The filter that the group's heartbeats named."""
        group = self._broker.consumers.group(header.consumer_group)
        if group is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_NOT_EXIST, f"the consumer's group info not exist: {header.consumer_group}"
            )
        if group.is_broadcasting and not may_broadcast:
            raise ResponseError(
                ResponseCode.NO_PERMISSION, f"the consumer group[{group.name}] can not consume by broadcast way"
            )
        subscribed = group.subscriptions.get(header.topic)
        if subscribed is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_NOT_EXIST, f"the consumer's subscription not exist: {header.topic}"
            )
        if subscribed.version < header.sub_version:
            # The client has changed its subscription and its heartbeat is on the way: the old filter could skip
            # messages that the new one wants.
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_NOT_LATEST, f"the consumer's subscription not latest: {header.topic}"
            )
        subscription.require_supported(subscribed.data.expression_type, self._broker.config)
        return subscribed.filter

    # ---- what is there

    def _read(self, request: PullRequest) -> RemotingCommand:
        config, header = self._broker.config, request.header
        target = self._broker.offsets.resets.target_for(
            request.connection, header.consumer_group, header.topic, header.queue_id, header.queue_offset
        )
        if target is not None:
            return self._moved(request, target)
        # Go's pull consumer asks for 0 messages and expects one.
        max_count = min(max(header.max_msg_nums, 1), config.max_pull_count)
        max_bytes = config.max_pull_bytes
        if header.max_msg_bytes and 0 < header.max_msg_bytes < max_bytes:
            max_bytes = header.max_msg_bytes
        began_s = time.perf_counter()
        result = self._broker.store.get(
            header.topic,
            header.queue_id,
            header.queue_offset,
            max_count=max_count,
            max_bytes=max_bytes,
            tag_codes=request.filter.tag_codes,
            wants=request.filter.wants,
        )
        took_ms = (time.perf_counter() - began_s) * 1000
        if took_ms > self._broker.statistics.slowest_pull_ms:
            self._broker.statistics.slowest_pull_ms = took_ms
        code, next_offset = _CODES[result.status], result.next_offset
        if result.status in (GetStatus.NO_MESSAGE_IN_QUEUE, GetStatus.NO_QUEUE):
            next_offset = 0
            if header.queue_offset == 0:
                code = ResponseCode.PULL_NOT_FOUND
        body = b"".join(result.records)
        self._count(header, len(result.records), len(body))
        ext = _offsets(next_offset, result.min_offset, result.max_offset)
        return request.command.respond(code, None if code == 0 else result.status.name, ext, body)

    def _moved(self, request: PullRequest, target: int) -> RemotingCommand:
        """The answer that sends a consumer elsewhere, because its offset was reset."""
        store, header = self._broker.store, request.header
        ext = _offsets(
            target, store.min_offset(header.topic, header.queue_id), store.max_offset(header.topic, header.queue_id)
        )
        return request.command.respond(ResponseCode.PULL_OFFSET_MOVED, "OFFSET_RESET", ext)

    def _count(self, header: PullMessageRequestHeader, given: int, given_bytes: int) -> None:
        statistics = self._broker.statistics
        if given:
            statistics.pulls_found += 1
            statistics.given += given
            given_to = statistics.given_to[header.topic, header.consumer_group]
            given_to.messages += given
            given_to.bytes += given_bytes
        else:
            statistics.pulls_missed += 1


def _offsets(next_offset: int, min_offset: int, max_offset: int) -> dict[str, str]:
    """The fields that clients read with every answer."""
    return {
        "suggestWhichBrokerId": "0",
        "nextBeginOffset": str(next_offset),
        "minOffset": str(min_offset),
        "maxOffset": str(max_offset),
    }
