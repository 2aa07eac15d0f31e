"""What becomes of a message that was popped: acknowledged (codes 200051, 200151), or invisible for longer or shorter.

An acknowledgement is an entry of the revive log and is answered when that is on disk. Of a message that came again
already, or was acknowledged before, it changes nothing and is answered all the same. Another invisible time (200053)
ends one check point and begins another, both in one piece. What was popped in order has no check point: it is named by
its pop time, and the entry says how far the order is.
Source: RocketMQ AckMessageProcessor, ChangeInvisibleTimeProcessor.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker.check_points import MAX_MESSAGES, REVIVE_QUEUE_COUNT, AckMsg, Key, PopCheckPoint, ack_of
from mq.broker.pop import MAX_INVISIBLE_MS
from mq.broker.pop_receipts import ORDER_QUEUE, Receipt, topic_of_kind
from mq.errors import InvalidMessage, MQError, ResponseError
from mq.remoting.bodies import BatchAck, BatchAckMessageRequestBody
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    AckMessageRequestHeader,
    ChangeInvisibleTimeRequestHeader,
    ChangeInvisibleTimeResponseHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker
    from mq.broker.revive import ReviveService

#: Bits and entries of one batch: clients put 32 messages into one.
MAX_BATCH_BYTES: Final = 4096
MAX_BATCH_ENTRIES: Final = 1024


class PopAckProcessor:
    def __init__(self, broker: Broker, revive: ReviveService) -> None:
        self._broker = broker
        self._revive = revive

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.ACK_MESSAGE: self._ack,
            RequestCode.BATCH_ACK_MESSAGE: self._batch_ack,
            RequestCode.CHANGE_MESSAGE_INVISIBLETIME: self._change,
        }

    def _ack(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        header = command.header(AckMessageRequestHeader)
        receipt, key = self._key_of(header)
        due_ms = receipt.pop_time_ms + receipt.invisible_ms
        if not self._acknowledge(key, [header.offset], revive_queue=receipt.revive_queue, due_ms=due_ms):
            return command.respond()
        return self._answer_later(connection, command, command.respond())

    def _batch_ack(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        """Raises: ResponseError: 208 without entries.  InvalidMessage: an entry that is none; nothing is taken then."""
        body = BatchAckMessageRequestBody.from_json(command.body or b"{}")
        if not body.acks:
            raise ResponseError(ResponseCode.NO_MESSAGE, "a batch without acknowledgements")
        if len(body.acks) > MAX_BATCH_ENTRIES:
            raise InvalidMessage(f"a batch of {len(body.acks)} entries, {MAX_BATCH_ENTRIES} at most")
        entries = [(_key_of(ack), _queue_offsets(ack), ack) for ack in body.acks]
        is_changed = False
        for key, queue_offsets, ack in entries:
            due_ms = ack.pop_time + ack.invisible_time
            is_changed |= self._acknowledge(key, queue_offsets, revive_queue=ack.revive_queue_id, due_ms=due_ms)
        return self._answer_later(connection, command, command.respond()) if is_changed else command.respond()

    def _acknowledge(self, key: Key, queue_offsets: list[int], *, revive_queue: int, due_ms: int) -> bool:
        """Put what is not acknowledged yet into the log; False when that is nothing."""
        if revive_queue == ORDER_QUEUE:
            return self._acknowledge_in_order(key, queue_offsets)
        pending = self._revive.find(key)
        if pending is None:
            return self._acknowledge_ahead(key, queue_offsets, revive_queue, due_ms)
        fresh = sorted(pending.left.intersection(queue_offsets))
        if fresh:
            ack = ack_of(pending.point.key, fresh, self._broker.config.broker_name)
            self._revive.append(ack, pending.revive_queue)
            pending.on_its_way.update(fresh)
        return bool(fresh)

    def _acknowledge_ahead(self, key: Key, queue_offsets: list[int], revive_queue: int, due_ms: int) -> bool:
        """Of a check point that RocketMQ gave, and that is still under way by the time wheel: this one comes behind it.

        Or the whole check point is acknowledged; then the entry says nothing new.
        """
        left_ms = due_ms - self._broker.clock.now_ms()
        may_come = self._broker.config.timer_wheel_enable and 0 < left_ms <= MAX_INVISIBLE_MS
        is_receipt = 0 < len(queue_offsets) <= MAX_MESSAGES and 0 <= revive_queue < REVIVE_QUEUE_COUNT
        if not (may_come and is_receipt):
            return False
        ack = ack_of(key, sorted(queue_offsets), self._broker.config.broker_name)
        self._revive.append_by_wheel(ack, revive_queue, due_ms)
        return True

    def _acknowledge_in_order(self, key: Key, queue_offsets: list[int]) -> bool:
        queue, is_changed = (key.group, key.topic, key.queue_id), False
        for queue_offset in queue_offsets:
            info = self._broker.orders.find(queue, queue_offset, key.pop_time_ms)
            if info is not None:
                info.acknowledge(queue_offset)
                is_changed = True
        if is_changed:
            self._broker.orders.changed(queue)
        return is_changed

    def _change(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        """Raises: ResponseError: 208 when the message is acknowledged or came again, 29 for the time."""
        header = command.header(ChangeInvisibleTimeRequestHeader)
        receipt, key = self._key_of(header)
        if not 0 < header.invisible_time <= MAX_INVISIBLE_MS:
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER, f"invisibleTime {header.invisible_time}: 1 to {MAX_INVISIBLE_MS} ms"
            )
        if receipt.revive_queue == ORDER_QUEUE:
            answer = self._change_in_order(key, header)
        else:
            answer = self._change_check_point(key, header)
        return self._answer_later(connection, command, command.respond(ext=answer))

    def _change_in_order(self, key: Key, header: ChangeInvisibleTimeRequestHeader) -> ChangeInvisibleTimeResponseHeader:
        queue, now_ms = (key.group, key.topic, key.queue_id), self._broker.clock.now_ms()
        info = self._broker.orders.find(queue, header.offset, key.pop_time_ms)
        if info is None:
            raise _is_over(header.offset)
        info.hide_until(header.offset, now_ms + header.invisible_time)
        self._broker.orders.changed(queue)
        invisible_ms = now_ms + header.invisible_time - key.pop_time_ms
        return ChangeInvisibleTimeResponseHeader(key.pop_time_ms, invisible_ms, ORDER_QUEUE)

    def _change_check_point(
        self, key: Key, header: ChangeInvisibleTimeRequestHeader
    ) -> ChangeInvisibleTimeResponseHeader:
        pending = self._revive.find(key)
        if pending is None or header.offset not in pending.left:
            raise _is_over(header.offset)
        now_ms = self._broker.clock.now_ms()
        broker_name, revive_queue = self._broker.config.broker_name, pending.revive_queue
        point = PopCheckPoint(
            topic=key.topic,
            group=key.group,
            queue_id=key.queue_id,
            start_offset=header.offset,
            pop_time_ms=now_ms,
            invisible_ms=header.invisible_time,
            count=1,
            diffs=[0],
            broker_name=broker_name,
        )
        entries: list[PopCheckPoint | AckMsg] = [point, ack_of(key, [header.offset], broker_name)]
        if point.key == key:  # asked for in the millisecond of the pop: one name cannot stand for both
            point.pop_time_ms = now_ms + 1
        self._broker.store.append_batch([self._revive.to_record(entry, revive_queue) for entry in entries])
        pending.on_its_way.add(header.offset)
        return ChangeInvisibleTimeResponseHeader(point.pop_time_ms, header.invisible_time, revive_queue)

    def _key_of(self, header: AckMessageRequestHeader) -> tuple[Receipt, Key]:
        """Raises: ResponseError: 17, 13, 208.  InvalidMessage: no receipt."""
        receipt = Receipt.parse(header.extra_info)
        topic = self._broker.topics.get(header.topic)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{header.topic}] not exist, apply first please!")
        if not 0 <= header.queue_id < topic.read_queue_nums:
            raise ResponseError(
                ResponseCode.MESSAGE_ILLEGAL,
                f"queueId[{header.queue_id}] is illegal: topic[{header.topic}] has {topic.read_queue_nums} read queues",
            )
        store = self._broker.store
        first, end = store.min_offset(header.topic, header.queue_id), store.max_offset(header.topic, header.queue_id)
        if not first <= header.offset < end:
            raise ResponseError(
                ResponseCode.NO_MESSAGE, f"offset {header.offset} is illegal: the queue has {first} to {end}"
            )
        key = Key(header.topic, header.consumer_group, header.queue_id, receipt.start_offset, receipt.pop_time_ms)
        return receipt, key

    def _answer_later(
        self, connection: Connection, command: RemotingCommand, response: RemotingCommand
    ) -> RemotingCommand | None:
        self._broker.store.when_durable(partial(_answer, connection, command, response))
        return None


def _answer(connection: Connection, command: RemotingCommand, response: RemotingCommand, error: MQError | None) -> None:
    if error is not None:
        response = command.respond(ResponseCode.SERVICE_NOT_AVAILABLE, str(error))
    connection.send(response)


def _is_over(queue_offset: int) -> ResponseError:
    return ResponseError(ResponseCode.NO_MESSAGE, f"message {queue_offset} is acknowledged already, or came again")


def _key_of(ack: BatchAck) -> Key:
    topic = topic_of_kind(ack.topic, ack.group, ack.retry)
    return Key(topic, ack.group, ack.queue_id, ack.start_offset, ack.pop_time)


def _queue_offsets(ack: BatchAck) -> list[int]:
    try:
        data = base64.b64decode(ack.bits, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidMessage(f"the bits of a batch are no base64: {error}") from error
    if len(data) > MAX_BATCH_BYTES:
        raise InvalidMessage(f"a batch with {len(data)} bytes of bits, {MAX_BATCH_BYTES} at most")
    bits = int.from_bytes(data, "little")
    return [ack.start_offset + place for place in range(len(data) * 8) if bits >> place & 1]
