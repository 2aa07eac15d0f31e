"""What an administrator asks of one broker, named by its address: a method per request code, typed answers.

`Admin.at` is one of these. Nothing is retried, and every method raises what `BrokerCalls.call` raises.
Source: RocketMQ MQClientAPIImpl.java; remoting sheet 2.4 and 2.10.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mq import dialect
from mq.client.admin_results import (
    BrokerStatsData,
    ConsumerConnection,
    ConsumeStats,
    ProducerConnection,
    ProducerTableInfo,
    QueueView,
    TopicStats,
    by_queue,
)
from mq.client.broker_calls import BrokerCalls
from mq.client.routes import DEFAULT_TOPIC
from mq.message import MessageQueue
from mq.remoting import bodies, headers
from mq.remoting.codes import RequestCode

#: Questions that the broker hands on to a client take as long as that does.
_RELAY_TIMEOUT_S: Final = 12.0
#: Clearing away and looking through all groups is work.
_LONG_TIMEOUT_S: Final = 30.0


class AdminCalls:
    def __init__(self, brokers: BrokerCalls) -> None:
        self._brokers = brokers

    # ---- the broker itself

    async def runtime_info(self, address: str) -> dict[str, str]:
        """What is running, under RocketMQ's keys (remoting sheet 2.12); every value is a text."""
        response = await self._brokers.call(address, RequestCode.GET_BROKER_RUNTIME_INFO)
        return bodies.KVTable.from_json(response.body).table

    async def config(self, address: str) -> dict[str, str]:
        response = await self._brokers.call(address, RequestCode.GET_BROKER_CONFIG)
        return read_properties(response.body)

    async def update_config(self, address: str, settings: Mapping[str, str]) -> None:
        await self._brokers.call(address, RequestCode.UPDATE_BROKER_CONFIG, body=write_properties(settings))

    async def clean(self, address: str, code: RequestCode) -> None:
        """One of CLEAN_EXPIRED_CONSUMEQUEUE, CLEAN_UNUSED_TOPIC and DELETE_EXPIRED_COMMITLOG."""
        await self._brokers.call(address, code, timeout_s=_LONG_TIMEOUT_S)

    async def ha_status(self, address: str) -> dict[str, Any]:
        """`HARuntimeInfo`, as it comes."""
        response = await self._brokers.call(address, RequestCode.GET_BROKER_HA_STATUS)
        return dict(dialect.loads(response.body))

    async def statistic(self, address: str, name: str, key: str) -> BrokerStatsData:
        """One statistic; what was not counted since the broker's start is refused with code 1."""
        header = headers.ViewBrokerStatsDataRequestHeader(stats_name=name, stats_key=key)
        response = await self._brokers.call(address, RequestCode.VIEW_BROKER_STATS_DATA, header)
        return BrokerStatsData.from_json(response.body)

    async def consume_stats_of_all(
        self, address: str, *, is_order: bool = False, timeout_s: float = _LONG_TIMEOUT_S
    ) -> dict[str, list[ConsumeStats]]:
        """Every group with its topics."""
        header = headers.GetConsumeStatsInBrokerRequestHeader(is_order=is_order)
        response = await self._brokers.call(address, RequestCode.GET_BROKER_CONSUME_STATS, header, timeout_s=timeout_s)
        listed = dialect.loads(response.body).get("consumeStatsList") or []
        return {
            group: [ConsumeStats.from_json(one) for one in stats] for entry in listed for group, stats in entry.items()
        }

    # ---- topics

    async def put_topic(self, address: str, topic: bodies.TopicConfig) -> None:
        """Make a topic or change it; `attributes` are changes: `+name` with a value, or `-name` with an empty one."""
        header = headers.CreateTopicRequestHeader(
            topic=topic.topic_name,
            default_topic=DEFAULT_TOPIC,
            read_queue_nums=topic.read_queue_nums,
            write_queue_nums=topic.write_queue_nums,
            perm=topic.perm,
            topic_filter_type=topic.topic_filter_type,
            topic_sys_flag=topic.topic_sys_flag,
            order=topic.order,
            attributes=",".join(f"{name}={value}" if value else name for name, value in topic.attributes.items())
            or None,
        )
        await self._brokers.call(address, RequestCode.UPDATE_AND_CREATE_TOPIC, header)

    async def put_topics(self, address: str, topics: list[bodies.TopicConfig]) -> None:
        """Make or change all of them, or, when one cannot be, none."""
        body = bodies.CreateTopicListRequestBody(topics)
        await self._brokers.call(address, RequestCode.UPDATE_AND_CREATE_TOPIC_LIST, body=body.to_json())

    async def topic_config(self, address: str, topic: str) -> bodies.TopicConfig:
        header = headers.GetTopicConfigRequestHeader(topic=topic)
        response = await self._brokers.call(address, RequestCode.GET_TOPIC_CONFIG, header)
        return bodies.TopicConfig.from_json(response.body)

    async def topic_configs(self, address: str) -> dict[str, bodies.TopicConfig]:
        """Every topic of the broker, its own ones included."""
        response = await self._brokers.call(address, RequestCode.GET_ALL_TOPIC_CONFIG)
        return bodies.TopicConfigSerializeWrapper.from_json(response.body).topic_config_table

    async def system_topics(self, address: str) -> list[str]:
        """The topics that are the broker's own."""
        response = await self._brokers.call(address, RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER)
        return sorted(bodies.TopicList.from_json(response.body).topic_list)

    async def delete_topic(self, address: str, topic: str) -> None:
        header = headers.DeleteTopicRequestHeader(topic=topic)
        await self._brokers.call(address, RequestCode.DELETE_TOPIC_IN_BROKER, header)

    async def topic_stats(self, address: str, topic: str) -> TopicStats:
        header = headers.GetTopicStatsInfoRequestHeader(topic=topic)
        response = await self._brokers.call(address, RequestCode.GET_TOPIC_STATS_INFO, header)
        return TopicStats.from_json(response.body)

    async def groups_of_topic(self, address: str, topic: str) -> list[str]:
        header = headers.TopicRequestHeader(topic=topic)
        response = await self._brokers.call(address, RequestCode.QUERY_TOPIC_CONSUME_BY_WHO, header)
        return sorted(bodies.GroupList.from_json(response.body).group_list)

    async def queue_view(self, address: str, queue: MessageQueue, index: int, count: int, group: str) -> QueueView:
        """Entries of a consume queue from `index` on, and which of them the group would get."""
        header = headers.QueryConsumeQueueRequestHeader(
            topic=queue.topic, queue_id=queue.queue_id, index=index, count=count, consumer_group=group or None
        )
        response = await self._brokers.call(address, RequestCode.QUERY_CONSUME_QUEUE, header)
        return QueueView.from_json(response.body)

    # ---- groups

    async def groups(self, address: str) -> dict[str, bodies.SubscriptionGroupConfig]:
        response = await self._brokers.call(address, RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG)
        return bodies.SubscriptionGroupWrapper.from_json(response.body).subscription_group_table

    async def put_group(self, address: str, group: bodies.SubscriptionGroupConfig) -> None:
        await self._brokers.call(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=group.to_json())

    async def put_groups(self, address: str, groups: list[bodies.SubscriptionGroupConfig]) -> None:
        """Make or change all of them, or, when one cannot be, none."""
        body = bodies.SubscriptionGroupList(groups)
        await self._brokers.call(address, RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST, body=body.to_json())

    async def set_consume_mode(
        self, address: str, topic: str, group: str, mode: str, pop_share_queue_count: int
    ) -> None:
        """Have a group consume a topic by PULL or by POP."""
        body = {"consumerGroup": group, "mode": mode, "popShareQueueNum": pop_share_queue_count, "topic": topic}
        await self._brokers.call(address, RequestCode.SET_MESSAGE_REQUEST_MODE, body=dialect.dumps(body))

    async def delete_group(self, address: str, group: str, *, clean_offset: bool) -> None:
        header = headers.DeleteSubscriptionGroupRequestHeader(group_name=group, clean_offset=clean_offset)
        await self._brokers.call(address, RequestCode.DELETE_SUBSCRIPTIONGROUP, header)

    async def consume_stats(self, address: str, group: str, topic: str | None = None) -> ConsumeStats:
        header = headers.GetConsumeStatsRequestHeader(consumer_group=group, topic=topic)
        response = await self._brokers.call(address, RequestCode.GET_CONSUME_STATS, header)
        return ConsumeStats.from_json(response.body)

    async def consumers(self, address: str, group: str) -> ConsumerConnection:
        """Who consumes as this group; refused with code 206 when nobody does."""
        header = headers.GetConsumerConnectionListRequestHeader(consumer_group=group)
        response = await self._brokers.call(address, RequestCode.GET_CONSUMER_CONNECTION_LIST, header)
        return ConsumerConnection.from_json(response.body)

    async def producers(self, address: str, group: str) -> ProducerConnection:
        header = headers.GetProducerConnectionListRequestHeader(producer_group=group)
        response = await self._brokers.call(address, RequestCode.GET_PRODUCER_CONNECTION_LIST, header)
        return ProducerConnection.from_json(response.body)

    async def all_producers(self, address: str) -> ProducerTableInfo:
        response = await self._brokers.call(address, RequestCode.GET_ALL_PRODUCER_INFO)
        return ProducerTableInfo.from_json(response.body)

    async def running_info(self, address: str, group: str, client_id: str, *, jstack: bool = False) -> dict[str, Any]:
        """`ConsumerRunningInfo` as the client tells it."""
        header = headers.GetConsumerRunningInfoRequestHeader(group, client_id, jstack)
        response = await self._brokers.call(
            address, RequestCode.GET_CONSUMER_RUNNING_INFO, header, timeout_s=_RELAY_TIMEOUT_S
        )
        return dict(dialect.loads(response.body))

    async def consume_directly(
        self, address: str, group: str, client_id: str, topic: str, offset_message_id: str
    ) -> dict[str, Any]:
        """Have one client consume one message now: `ConsumeMessageDirectlyResult`."""
        header = headers.ConsumeMessageDirectlyResultRequestHeader(
            consumer_group=group, client_id=client_id, msg_id=offset_message_id, topic=topic
        )
        response = await self._brokers.call(
            address, RequestCode.CONSUME_MESSAGE_DIRECTLY, header, timeout_s=_RELAY_TIMEOUT_S
        )
        return dict(dialect.loads(response.body))

    # ---- offsets of groups

    async def consumer_status(
        self, address: str, group: str, topic: str, client_id: str | None = None
    ) -> dict[str, dict[MessageQueue, int]]:
        """The offsets that each member of the group holds, by client id."""
        header = headers.GetConsumerStatusRequestHeader(topic=topic, group=group, client_addr=client_id)
        response = await self._brokers.call(
            address, RequestCode.INVOKE_BROKER_TO_GET_CONSUMER_STATUS, header, timeout_s=_RELAY_TIMEOUT_S
        )
        table = dialect.loads(response.body).get("consumerTable") or {}
        return {client: by_queue(offsets, int) for client, offsets in table.items()}

    async def reset_offset(
        self,
        address: str,
        group: str,
        topic: str,
        timestamp_ms: int,
        *,
        is_force: bool = True,
        queue_id: int = -1,
        queue_offset: int = -1,
    ) -> dict[MessageQueue, int]:
        """Send a group to a time (-1: the end) or, in one queue, to an offset; where it goes on."""
        header = headers.ResetOffsetRequestHeader(topic, group, timestamp_ms, is_force, queue_id, queue_offset)
        response = await self._brokers.call(address, RequestCode.INVOKE_BROKER_TO_RESET_OFFSET, header)
        return by_queue(dialect.loads(response.body).get("offsetTable"), int)

    async def clone_offset(self, address: str, source: str, destination: str, topic: str, *, offline: bool) -> None:
        """Give one group the offsets of another."""
        header = headers.CloneGroupOffsetRequestHeader(source, destination, topic, offline)
        await self._brokers.call(address, RequestCode.CLONE_GROUP_OFFSET, header)


def read_properties(body: bytes) -> dict[str, str]:
    """`key=value` lines as brokers and name servers answer them."""
    pairs = (line.partition("=") for line in body.decode(errors="replace").splitlines())
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}


def write_properties(settings: Mapping[str, str]) -> bytes:
    return "".join(f"{key}={value}\n" for key, value in settings.items()).encode()
