"""Answering POP: a consumer asks the broker for messages of a topic, whichever queue they lie in.

The broker keeps the group's offset and moves it on by what it gave out; what a consumer does not acknowledge within the
invisible time it named comes again (`revive.py`). What was given is a check point in the revive log, and the answer
leaves when that is on disk: nothing is given that could be forgotten. One answer holds messages of several queues, and
of the group's retry topic, from where they come under the name of the topic that was asked for.

| situation                      | code                                                     |
| ------------------------------ | -------------------------------------------------------- |
| messages                       | 0                                                        |
| none, and `pollTime` is over   | 210; before that the request is held (`pop_polling.py`)   |
| none, and no more can be held  | 209                                                      |

In order there is no check point: the queue is locked (`consumer_order_info.py`) until what was given of it is
acknowledged or visible again, and then goes on at the first message that is not acknowledged.

Source: RocketMQ PopMessageProcessor.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker import subscription
from mq.broker.check_points import MAX_MESSAGES, REVIVE_QUEUE_COUNT, PopCheckPoint
from mq.broker.order_info import OrderInfo
from mq.broker.pop_checks import require_consumable
from mq.broker.pop_offsets import PopOffsets, QueueKey
from mq.broker.pop_polling import PollingRequest, PopPolling
from mq.broker.pop_receipts import ORDER_QUEUE, Receipt, kind_of, offsets_words
from mq.broker.redelivery import stored_again
from mq.broker.subscription import MessageFilter
from mq.errors import MessageTooLarge, MQError, ResponseError
from mq.message import properties as names
from mq.message import record
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import PopMessageRequestHeader, PopMessageResponseHeader
from mq.store.store import GetResult, GetStatus

if TYPE_CHECKING:
    from mq.broker.app import Broker
    from mq.broker.revive import ReviveService

#: The longest time a message may be invisible: half a day.
MAX_INVISIBLE_MS: Final = 12 * 3600 * 1000
#: More check points than this under way, and nothing more is given out until some are acknowledged or due.
MAX_PENDING: Final = 200_000
#: Characters of a name for an attempt; clients take a random one of 36.
MAX_ATTEMPT_ID: Final = 256
#: Every n-th request looks for retries first, the others last: neither can starve.
_RETRIES_FIRST: Final = 5
_EVERYTHING: Final = MessageFilter()

PopRequest = PollingRequest[PopMessageRequestHeader]


@dataclass(slots=True)
class Taken:
    """What one request gets, gathered queue by queue."""

    pop_time_ms: int
    revive_queue: int
    count_left: int
    bytes_left: int
    rest: int = 0
    #: Each for a queue, as the answer's header says it.
    starts: list[str] = field(default_factory=list)
    offsets: list[str] = field(default_factory=list)
    order_counts: list[str] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)


class PopProcessor:
    def __init__(self, broker: Broker, revive: ReviveService) -> None:
        self._broker = broker
        self._revive = revive
        self.offsets = PopOffsets(broker)
        self.polling = PopPolling(broker, self._look_again)
        self._turns = itertools.count()

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.POP_MESSAGE: self._pop}

    def _pop(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        header = command.header(PopMessageRequestHeader)
        wanted = self._check(header)
        deadline_s = asyncio.get_running_loop().time() + max(header.poll_time, 0) / 1000
        return self._answer_or_hold(PopRequest(connection, command, header, wanted, deadline_s))

    def _look_again(self, request: PopRequest) -> RemotingCommand | None:
        self._check(request.header)
        return self._answer_or_hold(request)

    def _answer_or_hold(self, request: PopRequest) -> RemotingCommand | None:
        taken = self._take(request)
        if taken.records:
            self._broker.store.when_durable(partial(self._give, request, taken))
            return None
        code = self.polling.hold(request)
        return None if code is None else request.command.respond(code, code.name, _header(request, taken))

    def _give(self, request: PopRequest, taken: Taken, error: MQError | None) -> None:
        command = request.command
        if error is not None:
            request.connection.send(command.respond(ResponseCode.SERVICE_NOT_AVAILABLE, str(error)))
            return
        request.connection.send(command.respond(0, "FOUND", _header(request, taken), b"".join(taken.records)))
        self._count(request, taken)
        if taken.rest > 0:
            self.polling.wake(request.header.topic, request.header.consumer_group)

    def _count(self, request: PopRequest, taken: Taken) -> None:
        statistics = self._broker.statistics
        statistics.given += len(taken.records)
        given_to = statistics.given_to[request.header.topic, request.header.consumer_group]
        given_to.messages += len(taken.records)
        given_to.bytes += sum(map(len, taken.records))

    # ---- what may be taken

    def _check(self, header: PopMessageRequestHeader) -> MessageFilter:
        """Raises: ResponseError: 3, 13, 16, 17, 26, 29, or what is wrong with the expression."""
        broker = self._broker
        if len(header.attempt_id or "") > MAX_ATTEMPT_ID:
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"attemptId: {MAX_ATTEMPT_ID} characters at most")
        if not 0 < header.invisible_time <= MAX_INVISIBLE_MS:
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER, f"invisibleTime {header.invisible_time}: 1 to {MAX_INVISIBLE_MS} ms"
            )
        require_consumable(broker, header.topic, header.queue_id, header.consumer_group)
        subscription.require_supported(header.exp_type, broker.config)
        return subscription.parse(header.exp, header.exp_type)

    # ---- what is there

    def _take(self, request: PopRequest) -> Taken:
        turn, header = next(self._turns), request.header
        taken = Taken(
            pop_time_ms=self._broker.clock.now_ms(),
            revive_queue=ORDER_QUEUE if header.order else turn % REVIVE_QUEUE_COUNT,
            count_left=min(max(header.max_msg_nums, 1), MAX_MESSAGES),
            bytes_left=self._broker.config.max_pull_bytes,
        )
        if len(self._revive) >= MAX_PENDING:
            return taken
        sources = [(topic, request.filter if topic == header.topic else _EVERYTHING) for topic in request.topics]
        if turn % _RETRIES_FIRST == 0:
            sources.reverse()
        for topic, wanted in sources:
            config = self._broker.topics.get(topic)
            if config is None:
                continue
            any_queue = topic != header.topic or header.queue_id < 0
            for place in range(config.read_queue_nums) if any_queue else [header.queue_id]:
                queue_id = (turn + place) % config.read_queue_nums if any_queue else place
                self._take_from(request, (header.consumer_group, topic, queue_id), wanted, taken)
        return taken

    def _take_from(self, request: PopRequest, key: QueueKey, wanted: MessageFilter, taken: Taken) -> None:
        _group, topic, queue_id = key
        header = request.header
        start = self.offsets.begin(key, header.init_mode)
        if header.order and self._broker.orders.is_locked(key, header.attempt_id):
            return  # not counted among the rest: whoever waits would be woken in vain
        if taken.count_left <= 0 or taken.bytes_left <= 0:
            taken.rest += max(self._broker.store.max_offset(topic, queue_id) - start, 0)
            return
        result = self._read(key, start, wanted, taken)
        if result.status in (GetStatus.OFFSET_TOO_SMALL, GetStatus.OFFSET_OVERFLOW_BADLY):
            start = result.next_offset
            result = self._read(key, start, wanted, taken)
        taken.rest += max(result.max_offset - result.next_offset, 0)
        if result.records:
            offsets = [_queue_offset(data) for data in result.records]
            give = self._give_in_order if header.order else self._give_out
            give(request, key, start, offsets, taken)
            taken.starts.append(offsets_words(topic, queue_id, [start]))
            taken.offsets.append(offsets_words(topic, queue_id, offsets))
            taken.count_left -= len(offsets)
            taken.bytes_left -= sum(map(len, result.records))
            if topic == header.topic:
                taken.records += result.records
            else:
                taken.records += [self._renamed(request, data, start, taken) for data in result.records]
        if result.next_offset > start and not (header.order and result.records):
            self.offsets.move_on(key, result.next_offset)

    def _read(self, key: QueueKey, start: int, wanted: MessageFilter, taken: Taken) -> GetResult:
        _group, topic, queue_id = key
        return self._broker.store.get(
            topic,
            queue_id,
            start,
            max_count=taken.count_left,
            max_bytes=taken.bytes_left,
            tag_codes=wanted.tag_codes,
            wants=wanted.wants,
        )

    def _give_out(self, request: PopRequest, key: QueueKey, start: int, offsets: list[int], taken: Taken) -> None:
        """Put the check point into the revive log."""
        group, topic, queue_id = key
        point = PopCheckPoint(
            topic=topic,
            group=group,
            queue_id=queue_id,
            start_offset=start,
            pop_time_ms=taken.pop_time_ms,
            invisible_ms=request.header.invisible_time,
            count=len(offsets),
            diffs=[offset - start for offset in offsets],
            broker_name=self._broker.config.broker_name,
        )
        self._revive.append(point, taken.revive_queue)

    def _give_in_order(self, request: PopRequest, key: QueueKey, start: int, offsets: list[int], taken: Taken) -> None:
        """Lock the queue; the group's offset moves on as messages are acknowledged."""
        header = request.header
        info = OrderInfo.of(
            offsets, now_ms=taken.pop_time_ms, invisible_ms=header.invisible_time, attempt_id=header.attempt_id
        )
        taken.order_counts += self._broker.orders.give(key, info)
        self._broker.offsets.commit(*key, start)

    def _renamed(self, request: PopRequest, data: bytes, start: int, taken: Taken) -> bytes:
        """A message of the retry topic under the topic asked for, and with its receipt, which tells where it lies."""
        message = record.decode(data)
        receipt = Receipt(
            start,
            taken.pop_time_ms,
            request.header.invisible_time,
            taken.revive_queue,
            kind_of(message.topic),
            self._broker.config.broker_name,
            message.queue_id,
            message.queue_offset,
        )
        fields = stored_again(
            message,
            topic=request.header.topic,
            queue_id=message.queue_id,
            properties=message.properties | {names.POP_CK: str(receipt)},
        )
        fields.prepared_transaction_offset = message.prepared_transaction_offset
        try:
            return record.encode(
                fields,
                queue_offset=message.queue_offset,
                commit_log_offset=message.commit_log_offset,
                store_timestamp_ms=message.store_timestamp_ms,
                store_host=message.store_host,
            )
        except MessageTooLarge:
            return data  # no room for the receipt: clients find it by the retry topic's name as well


def _queue_offset(data: bytes) -> int:
    return int.from_bytes(data[20:28], "big")


def _header(request: PopRequest, taken: Taken) -> PopMessageResponseHeader:
    return PopMessageResponseHeader(
        pop_time=taken.pop_time_ms,
        invisible_time=request.header.invisible_time,
        revive_qid=taken.revive_queue,
        rest_num=taken.rest,
        start_offset_info=";".join(taken.starts),
        msg_offset_info=";".join(taken.offsets),
        order_count_info=";".join(taken.order_counts) if request.header.order else None,
    )
