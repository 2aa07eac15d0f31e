"""How far behind consumers are: what the admin tool shows of topics and groups.

Codes 202 (where a topic's queues begin and end), 208 (how far a group is), 317 (all groups), 300 (which groups consume
a topic). Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from mq import dialect
from mq.errors import ResponseError
from mq.remoting.bodies import GroupList, TopicConfig
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    GetConsumeStatsInBrokerRequestHeader,
    GetConsumeStatsRequestHeader,
    GetTopicStatsInfoRequestHeader,
    TopicRequestHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker


class QueueKey(NamedTuple):
    """A message queue as the key of a JSON object, in fastjson's order and spelling."""

    brokerName: str
    queueId: int
    topic: str

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> QueueKey:
        """From its JSON object. Raises: KeyError, ValueError, TypeError: it is no queue."""
        return cls(str(fields["brokerName"]), int(fields["queueId"]), str(fields["topic"]))


class ConsumeStatsProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_TOPIC_STATS_INFO: self._topic_stats,
            RequestCode.GET_CONSUME_STATS: self._consume_stats,
            RequestCode.GET_BROKER_CONSUME_STATS: self._consume_stats_of_all,
            RequestCode.QUERY_TOPIC_CONSUME_BY_WHO: self._groups_of_topic,
        }

    def _topic_stats(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetTopicStatsInfoRequestHeader).topic
        topic = self._broker.topics.get(name)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{name}] not exist")
        store = self._broker.store
        queues = {}
        for key in self._queues(topic, max(topic.read_queue_nums, topic.write_queue_nums)):
            low, high = store.min_offset(name, key.queueId), store.max_offset(name, key.queueId)
            updated_ms = store.store_timestamp(name, key.queueId, high - 1) if high > low else 0
            queues[key] = {"lastUpdateTimestamp": updated_ms, "maxOffset": high, "minOffset": low}
        return _answer(command, {"offsetTable": queues, "topicPutTps": self._broker.statistics.topic_rate(name)})

    def _consume_stats(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetConsumeStatsRequestHeader)
        group = header.consumer_group
        names = [header.topic] if header.topic else self._broker.offsets.topics_of(group)
        online = self._broker.consumers.group(group)
        queues, rate = {}, 0.0
        for name in names:
            topic = self._broker.topics.get(name)
            if topic is None or (not header.topic and online is not None and name not in online.subscriptions):
                continue
            for key in self._queues(topic, topic.read_queue_nums):
                queues[key] = self._progress(group, key)
            rate += self._broker.statistics.group_rate(name, group)
        return _answer(command, {"consumeTps": rate, "offsetTable": queues})

    def _progress(self, group: str, key: QueueKey) -> dict[str, int]:
        store = self._broker.store
        consumed = max(0, self._broker.offsets.get(group, key.topic, key.queueId))
        last_ms = store.store_timestamp(key.topic, key.queueId, consumed - 1) if consumed else 0
        return {
            "brokerOffset": store.max_offset(key.topic, key.queueId),
            "consumerOffset": consumed,
            "lastTimestamp": max(last_ms, 0),
            "pullOffset": consumed,
        }

    async def _consume_stats_of_all(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Every group that exists, topic by topic; with `isOrder` only topics that were created as ordered ones."""
        is_order = command.header(GetConsumeStatsInBrokerRequestHeader).is_order
        broker = self._broker
        groups: list[dict[str, list[dict[str, Any]]]] = []
        behind = 0
        for group in list(broker.groups.all()):
            online = broker.consumers.group(group)
            stats = []
            for name in broker.offsets.topics_of(group):
                topic = broker.topics.get(name)
                if topic is None or (is_order and not topic.order):
                    continue
                if online is not None and name not in online.subscriptions:
                    continue
                queues = {key: self._progress(group, key) for key in self._queues(topic, topic.write_queue_nums)}
                stats.append({"consumeTps": broker.statistics.group_rate(name, group), "offsetTable": queues})
                behind += sum(queue["brokerOffset"] - queue["consumerOffset"] for queue in queues.values())
            groups.append({group: stats})
            await asyncio.sleep(0)  # there may be thousands
        table = {"brokerAddr": broker.address, "consumeStatsList": groups, "totalDiff": behind, "totalInflightDiff": 0}
        return _answer(command, table)

    def _groups_of_topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        topic = command.header(TopicRequestHeader).topic
        online = {group.name for group in self._broker.consumers.groups() if topic in group.subscriptions}
        names = sorted(online.union(self._broker.offsets.groups_of(topic)))
        return command.respond(body=GroupList(names).to_json())

    def _queues(self, topic: TopicConfig, count: int) -> list[QueueKey]:
        broker_name = self._broker.config.broker_name
        return [QueueKey(broker_name, queue_id, topic.topic_name) for queue_id in range(count)]


def _answer(command: RemotingCommand, body: dict[str, Any]) -> RemotingCommand:
    return command.respond(body=dialect.dumps(body, bare_keys=True))
