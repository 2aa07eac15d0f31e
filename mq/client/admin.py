"""Looking at a cluster and setting it up: topics, offsets, single messages.

What concerns the cluster is a method here; what concerns one broker is in `at`, what concerns the name servers in
`name_servers`. Together they are what RocketMQ calls DefaultMQAdminExt.
Source: RocketMQ MQAdminImpl.java, DefaultMQAdminExtImpl.java; remoting sheet 2.2 to 2.5 and 2.8.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Self

from mq.client.admin_calls import AdminCalls
from mq.client.admin_name_servers import AdminNameServers
from mq.client.instance import Client
from mq.client.routes import MASTER_ID, Route
from mq.client.settings import ClientSettings
from mq.errors import NoRoute
from mq.message import MessageQueue, ReceivedMessage, ids
from mq.message.message import RETRY_PREFIX, check_group, check_topic
from mq.remoting import headers
from mq.remoting.bodies import ClusterInfo, TopicConfig

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

    @property
    def at(self) -> AdminCalls:
        """Questions to one broker, whose address goes first: `await admin.at.config("127.0.0.1:10911")`."""
        return AdminCalls(self.client.brokers)

    @property
    def name_servers(self) -> AdminNameServers:
        return AdminNameServers(self.client)

    # ---- cluster and topics

    async def cluster_info(self) -> ClusterInfo:
        """Every broker by name, and the names in every cluster."""
        return await self.client.name_servers.cluster_info()

    async def masters(self, cluster: str | None = None) -> list[str]:
        """The addresses of all masters, or of a cluster's.

        Raises: NoRoute: there are none.
        """
        info = await self.cluster_info()
        names = info.broker_addr_table if cluster is None else info.cluster_addr_table.get(cluster, [])
        brokers = [info.broker_addr_table[name].broker_addrs for name in sorted(names)]
        masters = [addresses[MASTER_ID] for addresses in brokers if MASTER_ID in addresses]
        if not masters:
            where = "" if cluster is None else f" of cluster {cluster!r}"
            raise NoRoute(f"no broker{where} is registered at the name server")
        return masters

    async def masters_of_topic(self, topic: str) -> list[str]:
        """The addresses of the masters that serve a topic.

        Raises: NoRoute: there are none.
        """
        route = await self.name_servers.route(topic)
        brokers = sorted(route.broker_datas, key=lambda broker: broker.broker_name) if route else []
        masters = [broker.broker_addrs[MASTER_ID] for broker in brokers if MASTER_ID in broker.broker_addrs]
        if not masters:
            raise NoRoute(f"no broker serves topic {topic!r}")
        return masters

    async def masters_of_group(self, group: str) -> list[str]:
        """The addresses of the masters that know a consumer group: those of its retry topic.

        Raises: NoRoute: there are none.
        """
        check_group(group)
        return await self.masters_of_topic(RETRY_PREFIX + group)

    async def brokers(self) -> dict[str, dict[int, str]]:
        """Every broker: name -> id (0 is the master) -> address."""
        info = await self.client.name_servers.cluster_info()
        return {name: dict(broker.broker_addrs) for name, broker in info.broker_addr_table.items()}

    async def topics(self) -> list[str]:
        """Every topic the name server knows, system, retry and dead letter topics included."""
        return await self.name_servers.topics()

    async def topic_route(self, topic: str) -> Route:
        """Raises: NoRoute: no such topic."""
        return await self.client.routes.fetch(topic)

    async def create_topic(self, topic: str, *, queue_count: int = 8) -> None:
        """Create the topic on every master, or change its number of queues; the same again changes nothing.

        Raises: NoRoute: no broker is there.  ResponseError: a broker refused.
        """
        check_topic(topic)
        config = TopicConfig(topic, queue_count, queue_count)
        for address in await self.masters():
            await self.at.put_topic(address, config)

    async def delete_topic(self, topic: str) -> None:
        """Delete the topic and its messages from every broker and name server; one that is not there is no error."""
        for address in await self.masters():
            await self.at.delete_topic(address, topic)
        await self.name_servers.delete_topic(topic)

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
        progress: dict[MessageQueue, QueueProgress] = {}
        for addresses in route.brokers.values():
            stats = await self.at.consume_stats(addresses[MASTER_ID], group, topic)
            for queue, offset in stats.queues.items():
                progress[queue] = QueueProgress(offset.broker_offset, offset.consumer_offset)
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
