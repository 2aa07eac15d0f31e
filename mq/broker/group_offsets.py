"""Offsets of whole groups: copied to another group (code 314), compared with it (308), shown as times (303).

Source: RocketMQ AdminBrokerProcessor, ConsumerOffsetManager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mq import dialect
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    CloneGroupOffsetRequestHeader,
    GroupAndTopicRequestHeader,
    QueryCorrectionOffsetRequestHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: "Nothing to correct", in an answer to 308 (Java's Long.MAX_VALUE).
NO_CORRECTION: Final = 2**63 - 1


class GroupOffsetsProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.CLONE_GROUP_OFFSET: self._clone,
            RequestCode.QUERY_CORRECTION_OFFSET: self._correction,
            RequestCode.QUERY_CONSUME_TIME_SPAN: self._time_span,
        }

    def _clone(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Give one group the offsets of another.

        A topic that does not exist, or that the source group's members subscribe to no more, is left out.
        Raises: ResponseError: 26, the other group does not exist.
        """
        header = command.header(CloneGroupOffsetRequestHeader)
        broker, offsets = self._broker, self._broker.offsets
        if broker.groups.find_or_create(header.dest_group) is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"No group in this broker. group: {header.dest_group}"
            )
        online = None if header.offline else broker.consumers.group(header.src_group)
        for topic in [header.topic] if header.topic else offsets.topics_of(header.src_group):
            if broker.topics.get(topic) is None or (online is not None and topic not in online.subscriptions):
                continue
            for queue_id, queue_offset in offsets.queues_of(header.src_group, topic).items():
                offsets.commit(header.dest_group, topic, queue_id, queue_offset)
        return command.respond()

    def _correction(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """For each queue the smallest offset of all groups, unless the compared group is behind even that."""
        header = command.header(QueryCorrectionOffsetRequestHeader)
        offsets, topic = self._broker.offsets, header.topic
        left_out = (header.filter_groups or "").split(",")
        smallest: dict[int, int] = {}
        for group in offsets.groups_of(topic):
            if group not in left_out:
                for queue_id, queue_offset in offsets.queues_of(group, topic).items():
                    if queue_offset >= self._broker.store.min_offset(topic, queue_id):
                        smallest[queue_id] = min(queue_offset, smallest.get(queue_id, queue_offset))
        for queue_id, queue_offset in offsets.queues_of(header.compare_group, topic).items():
            if smallest.get(queue_id, NO_CORRECTION) > queue_offset:
                smallest[queue_id] = NO_CORRECTION
        return command.respond(body=dialect.dumps({"correctionOffsets": smallest}, bare_keys=True))

    def _time_span(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """When the messages of each queue were stored: the first, the last, and the one the group has come to."""
        header = command.header(GroupAndTopicRequestHeader)
        topic = self._broker.topics.get(header.topic)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{header.topic}] not exist")
        spans = [self._span(header.group, header.topic, queue_id) for queue_id in range(topic.write_queue_nums)]
        return command.respond(body=dialect.dumps({"consumeTimeSpanSet": spans}))

    def _span(self, group: str, topic: str, queue_id: int) -> dict[str, Any]:
        """Units: epoch ms, -1 for a message that is not there; `delayTime` the age of the next one to consume."""
        broker, store = self._broker, self._broker.store
        low, high = store.min_offset(topic, queue_id), store.max_offset(topic, queue_id)
        first_ms = store.store_timestamp(topic, queue_id, low)
        consumed = broker.offsets.get(group, topic, queue_id)
        next_ms = store.store_timestamp(topic, queue_id, max(consumed, low)) if consumed < high else -1
        return {
            "consumeTimeStamp": store.store_timestamp(topic, queue_id, consumed - 1) if consumed > 0 else first_ms,
            "delayTime": max(0, broker.clock.now_ms() - next_ms) if next_ms >= 0 else 0,
            "maxTimeStamp": store.store_timestamp(topic, queue_id, high - 1) if high > low else -1,
            "messageQueue": {"brokerName": broker.config.broker_name, "queueId": queue_id, "topic": topic},
            "minTimeStamp": first_ms,
        }
