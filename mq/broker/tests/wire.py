"""A client's view of one broker: one method per request, the response as it came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.clock import Clock, ManualClock
from mq.message import MessageQueue, ReceivedMessage, properties, record
from mq.remoting.bodies import (
    ConsumerData,
    GetConsumerListByGroupResponseBody,
    HeartbeatData,
    LockBatchRequestBody,
    LockBatchResponseBody,
    ProducerData,
    SubscriptionData,
)
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    CreateTopicRequestHeader,
    PullMessageRequestHeader,
    PullSysFlag,
    SendMessageRequestHeaderV2,
)

UNIQUE_ID = "7F0000010001000000000000000000AB"


def small_config(root: Path, **changes: Any) -> BrokerConfig:
    """A broker that starts in milliseconds: small files, a free port, no second listener."""
    settings: dict[str, Any] = {
        "store_root": root,
        "broker_name": "broker-a",
        "cluster_name": "DefaultCluster",
        "listen_port": 0,
        "commit_log_file_bytes": 4 << 20,
        "consume_queue_file_bytes": 20 * 1000,
        "index_slot_count": 1000,
        "index_entry_count": 4000,
    }
    return BrokerConfig(**(settings | changes))


async def start_broker(root: Path, clock: Clock | None = None, **changes: Any) -> Broker:
    broker = Broker(small_config(root, **changes), clock or ManualClock())
    await broker.start()
    return broker


class Wire:
    def __init__(self, broker: Broker, handlers: Mapping[int, Handler] | None = None) -> None:
        self.broker = broker
        self.client = RemotingClient(handlers)

    async def close(self) -> None:
        await self.client.close()

    async def connection(self) -> Connection:
        return await self.client.connection(self.broker.address)

    async def call(self, code: int, header: Any = None, body: bytes = b"", timeout_s: float = 3.0) -> RemotingCommand:
        return await self.client.invoke(self.broker.address, RemotingCommand.request(code, header, body), timeout_s)

    # ---- topics and groups

    async def create_topic(self, topic: str, queue_count: int = 4, perm: int = 6, **changes: Any) -> RemotingCommand:
        header = CreateTopicRequestHeader(
            topic=topic,
            default_topic="TBW102",
            read_queue_nums=changes.pop("read_queue_nums", queue_count),
            write_queue_nums=changes.pop("write_queue_nums", queue_count),
            perm=perm,
            topic_filter_type="SINGLE_TAG",
            **changes,
        )
        return await self.call(RequestCode.UPDATE_AND_CREATE_TOPIC, header)

    async def heartbeat(
        self,
        group: str,
        subscriptions: Mapping[str, str] | None = None,
        *,
        client_id: str = "client-1",
        version: int = 1,
        model: str = "CLUSTERING",
        producer_group: str | None = None,
        expression_type: str = "TAG",
    ) -> RemotingCommand:
        """A consumer's heartbeat: `subscriptions` gives each topic its expression."""
        topics = [
            SubscriptionData(topic=topic, sub_string=tags, sub_version=version, expression_type=expression_type)
            for topic, tags in (subscriptions or {}).items()
        ]
        consumers = [ConsumerData(group_name=group, message_model=model, subscription_data_set=topics)]
        producers = [ProducerData(producer_group)] if producer_group else []
        body = HeartbeatData(client_id=client_id, producer_data_set=producers, consumer_data_set=consumers)
        return await self.call(RequestCode.HEART_BEAT, body=body.to_json())

    async def consumer_ids(self, group: str) -> list[str]:
        response = await self.call(RequestCode.GET_CONSUMER_LIST_BY_GROUP, {"consumerGroup": group})
        if response.code == ResponseCode.SYSTEM_ERROR:
            return []
        return GetConsumerListByGroupResponseBody.from_json(response.body).consumer_id_list

    async def lock(self, group: str, queue: MessageQueue, client_id: str = "client-1") -> bool:
        body = LockBatchRequestBody(client_id=client_id, consumer_group=group, mq_set=[queue])
        response = await self.call(RequestCode.LOCK_BATCH_MQ, body=body.to_json())
        return queue in LockBatchResponseBody.from_json(response.body).lock_ok_mq_set

    # ---- messages

    def send_request(
        self,
        topic: str,
        body: bytes = b"hello",
        *,
        code: int = RequestCode.SEND_MESSAGE_V2,
        properties_text: str | None = None,
        **changes: Any,
    ) -> RemotingCommand:
        settings: dict[str, Any] = {
            "producer_group": "checkout",
            "topic": topic,
            "default_topic": "TBW102",
            "default_topic_queue_nums": 4,
            "queue_id": 0,
            "sys_flag": 0,
            "born_timestamp": 1_700_000_000_000,
            "flag": 0,
            "properties": f"UNIQ_KEY\x01{UNIQUE_ID}\x02" if properties_text is None else properties_text,
        }
        header = SendMessageRequestHeaderV2(**(settings | changes))
        return RemotingCommand.request(code, header, body)

    async def send(
        self, topic: str, body: bytes = b"hello", *, tag: str | None = None, **changes: Any
    ) -> RemotingCommand:
        if tag is not None:
            changes["properties_text"] = properties.encode({"TAGS": tag, "UNIQ_KEY": UNIQUE_ID}).decode()
        return await self.client.invoke(self.broker.address, self.send_request(topic, body, **changes))

    def pull_request(
        self, topic: str, queue_offset: int = 0, *, group: str = "orders", tags: str | None = "*", **changes: Any
    ) -> RemotingCommand:
        """`tags` None leaves the subscription to the group's heartbeat."""
        flags = changes.pop("sys_flag", 0) | (PullSysFlag.SUBSCRIPTION if tags is not None else 0)
        settings: dict[str, Any] = {
            "consumer_group": group,
            "topic": topic,
            "queue_id": 0,
            "queue_offset": queue_offset,
            "max_msg_nums": 32,
            "sys_flag": flags,
            "commit_offset": 0,
            "suspend_timeout_millis": 15_000,
            "subscription": tags,
            "sub_version": 1,
        }
        return RemotingCommand.request(RequestCode.PULL_MESSAGE, PullMessageRequestHeader(**(settings | changes)))

    async def pull(self, topic: str, queue_offset: int = 0, **changes: Any) -> RemotingCommand:
        return await self.client.invoke(self.broker.address, self.pull_request(topic, queue_offset, **changes))


def messages(response: RemotingCommand) -> list[ReceivedMessage]:
    return list(record.iterate(response.body))


def bodies(response: RemotingCommand) -> list[bytes]:
    return [message.body for message in messages(response)]


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Return when something has come true. Raises: TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.001)
