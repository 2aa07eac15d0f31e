"""What the admin tool asks of a broker about its topics, groups and settings.

Codes 21, 351 (topics), 201, 200, 207, 352 (groups), 215 (delete topic), 26 (settings), 28 (how it is doing), 305 (the
broker's own topics). Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

import dataclasses
import enum
import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeVar, get_args, get_type_hints

from mq.broker.config import BrokerConfig
from mq.errors import ResponseError
from mq.remoting.bodies import (
    KVTable,
    SubscriptionGroupConfig,
    SubscriptionGroupWrapper,
    TopicConfigSerializeWrapper,
    TopicList,
)
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import VERSION, RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    DeleteSubscriptionGroupRequestHeader,
    DeleteTopicRequestHeader,
    GetAllSubscriptionGroupRequestHeader,
    GetAllTopicConfigRequestHeader,
    GetSubscriptionGroupConfigRequestHeader,
    GetTopicConfigRequestHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: Entries in one answer; a tool asks for the next page while the total says that there is more.
PAGE_SIZE: Final = 2000
Item = TypeVar("Item")


class AdminProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._started_ms = broker.clock.now_ms()
        self._started_s = time.monotonic()

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_ALL_TOPIC_CONFIG: self._topics,
            RequestCode.GET_TOPIC_CONFIG: self._topic,
            RequestCode.DELETE_TOPIC_IN_BROKER: self._delete_topic,
            RequestCode.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: self._system_topics,
            RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG: self._groups,
            RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG: self._group,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: self._put_group,
            RequestCode.DELETE_SUBSCRIPTIONGROUP: self._delete_group,
            RequestCode.GET_BROKER_CONFIG: self._settings,
            RequestCode.GET_BROKER_RUNTIME_INFO: self._runtime_info,
        }

    # ---- topics

    def _topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetAllTopicConfigRequestHeader)
        topics = self._broker.topics
        page = _page(topics.all(), header.topic_seq, header.max_topic_num)
        body = TopicConfigSerializeWrapper(topics.data_version, page)
        return command.respond(ext={"totalTopicNum": str(len(topics.all()))}, body=body.to_json())

    def _topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetTopicConfigRequestHeader).topic
        topic = self._broker.topics.get(name)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"No topic in this broker. topic: {name}")
        return command.respond(body=topic.to_json())

    async def _delete_topic(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(DeleteTopicRequestHeader).topic.strip()
        if not name or self._broker.topics.is_system(name):
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"The topic[{name}] is conflict with system topic.")
        self._broker.topics.delete(name)
        self._broker.offsets.delete_topic(name)
        self._broker.store.delete_topic(name)
        await self._broker.name_servers.register_now()
        return command.respond()

    def _system_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        topics = self._broker.topics
        own = sorted(name for name in topics.all() if topics.is_system(name))
        return command.respond(body=TopicList(own, self._broker.address).to_json())

    # ---- groups

    def _groups(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetAllSubscriptionGroupRequestHeader)
        groups = self._broker.groups
        page = _page(groups.all(), header.group_seq, header.max_group_num)
        body = SubscriptionGroupWrapper(groups.data_version, page)
        return command.respond(ext={"totalGroupNum": str(len(groups.all()))}, body=body.to_json())

    def _group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetSubscriptionGroupConfigRequestHeader).group
        group = self._broker.groups.get(name)
        if group is None:
            raise ResponseError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"No group in this broker. group: {name}")
        return command.respond(body=group.to_json())

    def _put_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._broker.groups.put(SubscriptionGroupConfig.from_json(command.body))
        return command.respond()

    def _delete_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(DeleteSubscriptionGroupRequestHeader)
        self._broker.groups.delete(header.group_name)
        if header.clean_offset:
            self._broker.offsets.delete_group(header.group_name)
        return command.respond()

    # ---- the broker itself

    def _settings(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        lines = "".join(f"{key}={value}\n" for key, value in _settings_by_key(self._broker.config).items())
        return command.respond(
            ext={"version": self._broker.topics.data_version.to_json().decode()}, body=lines.encode()
        )

    def _runtime_info(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return command.respond(body=KVTable(self._runtime_table()).to_json())

    def _runtime_table(self) -> dict[str, str]:
        """Numbers as texts; what is not known is left out, because tools parse whatever is there."""
        broker, store, statistics = self._broker, self._broker.store, self._broker.statistics
        now, puts = statistics.counters(), store.put_statistics
        disk = shutil.disk_usage(broker.config.store_root.expanduser())
        used_ratio = f"{disk.used / disk.total:.4f}"

        def rates(*names: str) -> str:
            parts = zip(*(statistics.rates(name) for name in names), strict=True)
            return " ".join(f"{sum(part):.3f}" for part in parts)

        return {
            "bootTimestamp": str(self._started_ms),
            "runtime": _duration(time.monotonic() - self._started_s),
            "brokerVersion": str(VERSION),
            "brokerVersionDesc": "V5_3_3",
            "brokerActive": "true",
            "putMessageTimesTotal": str(puts.count),
            "putMessageSizeTotal": str(puts.bytes),
            "putMessageAverageSize": str(puts.bytes / puts.count if puts.count else 0.0),
            "putTps": rates("stored"),
            "getFoundTps": rates("pulls_found"),
            "getMissTps": rates("pulls_missed"),
            "getTotalTps": rates("pulls_found", "pulls_missed"),
            "getTransferredTps": rates("given"),
            "getTransferedTps": rates("given"),  # 4.x tools know this spelling only
            "msgPutTotalYesterdayMorning": str(statistics.yesterday_morning.stored),
            "msgPutTotalTodayMorning": str(statistics.today_morning.stored),
            "msgPutTotalTodayNow": str(now.stored),
            "msgGetTotalYesterdayMorning": str(statistics.yesterday_morning.given),
            "msgGetTotalTodayMorning": str(statistics.today_morning.given),
            "msgGetTotalTodayNow": str(now.given),
            "commitLogDiskRatio": used_ratio,
            "consumeQueueDiskRatio": used_ratio,
            "commitLogMinOffset": str(store.min_commit_log_offset),
            "commitLogMaxOffset": str(store.max_commit_log_offset),
            "commitLogDirCapacity": f"Total : {disk.total}, Free : {disk.free}.",
            "remainHowManyDataToFlush": f"{store.max_commit_log_offset - store.durable_commit_log_offset} B",
            "dispatchBehindBytes": "0",
            "pageCacheLockTimeMills": "0",
            "startAcceptSendRequestTimeStamp": "0",
            "sendThreadPoolQueueSize": "0",
            "sendThreadPoolQueueCapacity": "0",
            "sendThreadPoolQueueHeadWaitTimeMills": "0",
            "pullThreadPoolQueueSize": str(len(broker.long_polling)),
            "pullThreadPoolQueueCapacity": "0",
            "pullThreadPoolQueueHeadWaitTimeMills": "0",
        }


def _page(table: Mapping[str, Item], seq: int | None, count: int | None) -> dict[str, Item]:
    """One page in the order of names; everything for tools that ask without saying where to start."""
    if seq is None:
        return dict(table)
    names = sorted(table)[max(seq, 0) : max(seq, 0) + min(max(count or PAGE_SIZE, 1), PAGE_SIZE)]
    return {name: table[name] for name in names}


def _settings_by_key(config: BrokerConfig) -> dict[str, str]:
    """The configuration under RocketMQ's keys."""
    hints = get_type_hints(BrokerConfig, include_extras=True)
    table = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, enum.Enum):
            value = value.value
        text = str(value).lower() if isinstance(value, bool) else str(value)
        table[get_args(hints[field.name])[1]] = "" if value is None else text
    return table


def _duration(seconds: float) -> str:
    """RocketMQ's form, which tools show as it is."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"[ {days} days, {hour} hours, {minute} minutes, {second} seconds ]"
