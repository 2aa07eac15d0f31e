"""Looking at a cluster and setting it up: topics, offsets, single messages. Thin: what the shop and its checker need.

Source: RocketMQ MQAdminImpl.java, DefaultMQAdminExtImpl.java; remoting sheet 2.2 to 2.5 and 2.8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from mq import dialect
from mq.client.broker_requests import read_queue
from mq.client.instance import Client
from mq.client.routes import DEFAULT_TOPIC, MASTER_ID, Route
from mq.client.settings import ClientSettings
from mq.errors import NoRoute, ResponseError
from mq.message import MessageQueue, ReceivedMessage, ids
from mq.message.message import RETRY_PREFIX, check_group, check_topic
from mq.remoting import headers
from mq.remoting.bodies import TopicList
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand

_READ_AND_WRITE = 6
#: Unique ids are looked for this far back, as Java's client does.
_UNIQUE_KEY_DAYS = 3
_DAY_MS = 86_400_000
_FOR_EVER_MS = 2**63 - 1


class QueueProgress(NamedTuple):
    """How far a group is in one queue; `lag` is how many messages it has not consumed."""

    broker_offset: int
    consumer_offset: int

    @property
    def lag(self) -> int:
        return self.broker_offset - self.consumer_offset


class Admin:
    """Questions about a cluster; each goes to the brokers that can answer it.

    ```
    async with Admin(namesrv="127.0.0.1:9876") as admin:
        await admin.create_topic("order-events", queue_count=8)
    ```
    """

    def __init__(
        self,
        *,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        settings: ClientSettings | None = None,
    ) -> None:
        self.client = client or Client(namesrv, settings=settings)

    async def start(self) -> None:
        """Connects to nothing yet."""
        await self.client.open()

    async def stop(self) -> None:
        await self.client.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # ---- cluster and topics

    async def brokers(self) -> dict[str, dict[int, str]]:
        """Every broker: name -> id (0 is the master) -> address."""
        info = await self.client.name_servers.cluster_info()
        return {name: dict(broker.broker_addrs) for name, broker in info.broker_addr_table.items()}

    async def topics(self) -> list[str]:
        """Every topic the name server knows, system, retry and dead letter topics included."""
        response = await self.client.name_servers.ask(
            RemotingCommand.request(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
        )
        _raise_unless_success(response)
        return sorted(TopicList.from_json(response.body).topic_list)

    async def topic_route(self, topic: str) -> Route:
        """Raises: NoRoute: no such topic."""
        return await self.client.routes.fetch(topic)

    async def create_topic(self, topic: str, *, queue_count: int = 8) -> None:
        """Create the topic on every master, or change its number of queues; the same again changes nothing.

        Raises: NoRoute: no broker is there.  ResponseError: a broker refused.
        """
        check_topic(topic)
        header = headers.CreateTopicRequestHeader(
            topic=topic,
            default_topic=DEFAULT_TOPIC,
            read_queue_nums=queue_count,
            write_queue_nums=queue_count,
            perm=_READ_AND_WRITE,
            topic_filter_type="SINGLE_TAG",
            topic_sys_flag=0,
        )
        await self._tell_masters(RequestCode.UPDATE_AND_CREATE_TOPIC, header)

    async def delete_topic(self, topic: str) -> None:
        """Delete the topic and its messages from every broker and name server; one that is not there is no error."""
        await self._tell_masters(RequestCode.DELETE_TOPIC_IN_BROKER, headers.TopicRequestHeader(topic=topic))
        header = headers.DeleteTopicFromNamesrvRequestHeader(topic=topic)
        command = RemotingCommand.request(RequestCode.DELETE_TOPIC_IN_NAMESRV, header)
        for address in self.client.name_server_addresses:
            _raise_unless_success(await self.client.remoting.invoke(address, command))

    # ---- offsets

    async def queues(self, topic: str) -> tuple[MessageQueue, ...]:
        """The queues of a topic that may be read. Raises: NoRoute: no such topic."""
        return (await self.client.routes.fetch(topic)).subscribe_queues

    async def max_offset(self, queue: MessageQueue) -> int:
        """The offset that the next message of the queue will get."""
        return await self.client.brokers.max_offset(await self._master(queue), queue)

    async def min_offset(self, queue: MessageQueue) -> int:
        return await self.client.brokers.min_offset(await self._master(queue), queue)

    async def search_offset(self, queue: MessageQueue, timestamp_ms: int) -> int:
        """The first message stored at or after the time; the queue's end when there is none."""
        return await self.client.brokers.search_offset(await self._master(queue), queue, timestamp_ms)

    async def consumer_offset(self, group: str, queue: MessageQueue) -> int | None:
        """The group's committed offset; None when it has none."""
        return await self.client.brokers.query_offset(await self._master(queue), group, queue)

    async def set_consumer_offset(self, group: str, queue: MessageQueue, queue_offset: int) -> None:
        """Set the committed offset of a group that is not running; a running one would soon write its own."""
        await self.client.brokers.update_offset(await self._master(queue), group, queue, queue_offset)

    async def consume_stats(self, group: str, topic: str | None = None) -> dict[MessageQueue, QueueProgress]:
        """How far a group is in all the queues it has consumed, or in those of one topic.

        Raises: NoRoute: no such group.
        """
        check_group(group)
        route = await self.client.routes.fetch(topic or RETRY_PREFIX + group)
        header = headers.GetConsumeStatsRequestHeader(consumer_group=group, topic=topic)
        progress: dict[MessageQueue, QueueProgress] = {}
        for addresses in route.brokers.values():
            response = await self.client.brokers.call(addresses[MASTER_ID], RequestCode.GET_CONSUME_STATS, header)
            table: Mapping[str, Any] = dialect.loads(response.body).get("offsetTable") or {}
            for key, fields in table.items():
                queue = read_queue(dialect.loads(key))
                progress[queue] = QueueProgress(int(fields["brokerOffset"]), int(fields["consumerOffset"]))
        return progress

    # ---- messages

    async def view_message(self, offset_message_id: str) -> ReceivedMessage:
        """The message with this broker's id (32 digits), from the broker that the id itself names.

        Raises: ResponseError: there is none.  RemoteProtocolError: it is no such id.
        """
        parsed = ids.parse_offset_message_id(offset_message_id)
        return await self.client.brokers.view(str(parsed.host), parsed.commit_log_offset)

    async def query_message(
        self, topic: str, key: str, *, max_count: int = 32, begin_ms: int = 0, end_ms: int = _FOR_EVER_MS
    ) -> list[ReceivedMessage]:
        """Messages with this key among their keys, oldest first.

        Raises: NoRoute: no such topic.
        """
        found = await self._query(topic, key, max_count, begin_ms, end_ms, is_unique_key=False)
        return [message for message in found if key in message.keys][:max_count]

    async def query_unique_message(self, topic: str, message_id: str) -> list[ReceivedMessage]:
        """Messages of the last three days with this unique id: one, unless a send was repeated."""
        begin_ms = self.client.clock.now_ms() - _UNIQUE_KEY_DAYS * _DAY_MS
        found = await self._query(topic, message_id, 32, begin_ms, _FOR_EVER_MS, is_unique_key=True)
        return [message for message in found if message.message_id == message_id]

    # ---- inside

    async def _query(
        self, topic: str, key: str, max_count: int, begin_ms: int, end_ms: int, *, is_unique_key: bool
    ) -> list[ReceivedMessage]:
        header = headers.QueryMessageRequestHeader(
            topic=topic,
            key=key,
            max_num=max_count,
            begin_timestamp=begin_ms,
            end_timestamp=end_ms,
            unique_key_query=is_unique_key,
        )
        route = await self.client.routes.fetch(topic)
        answers = await asyncio.gather(
            *(self.client.brokers.query(addresses[MASTER_ID], header) for addresses in route.brokers.values())
        )
        found = [message for messages in answers for message in messages if message.topic == topic]
        return sorted(found, key=lambda message: (message.store_timestamp_ms, message.commit_log_offset))

    async def _master(self, queue: MessageQueue) -> str:
        await self.client.routes.of(queue.topic)
        return self.client.routes.master(queue.broker_name)

    async def _tell_masters(self, code: RequestCode, header: headers.Header) -> None:
        masters = [addresses[MASTER_ID] for addresses in (await self.brokers()).values() if MASTER_ID in addresses]
        if not masters:
            raise NoRoute("no broker is registered at the name server")
        for address in masters:
            await self.client.brokers.call(address, code, header)


def _raise_unless_success(response: RemotingCommand) -> None:
    if response.code != ResponseCode.SUCCESS:
        raise ResponseError(response.code, response.remark)
