"""What the producers and consumers of one process share: connections, routes, heartbeats, one client id.

A `Client` is opened by its first user and closed by its last.
Source: RocketMQ MQClientInstance.java; remoting sheet 6.1, 12.3 and 12.4.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Iterator, Sequence

from mq.client import forking
from mq.client.background import cancel, spawn, wait_for
from mq.client.broker_calls import BrokerCalls
from mq.client.broker_requests import BrokerRequests
from mq.client.heartbeats import Heartbeats
from mq.client.members import ConsumerMember, Member, ProducerMember
from mq.client.namespaces import Namespace, v2_fields
from mq.client.outgoing import Packer
from mq.client.request_reply import Replies
from mq.client.routes import MASTER_ID, NameServers, Routes
from mq.client.settings import ClientSettings, name_server_addresses
from mq.clock import Clock, SystemClock
from mq.errors import AlreadyStopped, MQError
from mq.message.ids import UniqueIds
from mq.remoting.bodies import HeartbeatData, ProducerData
from mq.remoting.client import RemotingClient

logger = logging.getLogger(__name__)

#: A route that proved wrong is asked for again at once, but not more often than this.
_ROUTE_REFRESH_PAUSE_S = 1.0


class Client:
    """One per process is enough, however many producers and consumers there are; each of them makes its own when it is
    not given one. It belongs to the event loop and the process that opened it.

    `instance_name` is for a process that is started again when it dies, never beside itself: under the name of its
    predecessor it has that one's queue locks at once, instead of after the broker's lease of a minute.
    """

    def __init__(
        self,
        namesrv: str | Sequence[str] | None = None,
        *,
        settings: ClientSettings | None = None,
        clock: Clock | None = None,
        instance_name: str | None = None,
    ) -> None:
        self._instance_name = instance_name
        self.settings = settings or ClientSettings()
        self.namespace = Namespace(self.settings.namespace)
        self.clock = clock or SystemClock()
        self.name_server_addresses = name_server_addresses(namesrv)
        self.client_id = ""
        self.started_at_ms = 0
        self.producers: dict[str, ProducerMember] = {}
        self.consumers: dict[str, ConsumerMember] = {}
        self._user_count = 0
        self._generation = -1

    # ---- life

    async def __aenter__(self) -> Client:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Count one more user; the first one starts the background work. Nothing is connected yet."""
        self._user_count += 1
        if self._user_count > 1:
            self.check_usable()
            return
        address = _local_address(self.name_server_addresses[0])
        self._generation = forking.generation()
        # Unique for every instance of every process, so that two of them never count as one member of a group.
        self.client_id = f"{address}@{self._instance_name or f'{os.getpid()}#{time.time_ns()}'}"
        self.started_at_ms = self.clock.now_ms()
        self.unique_ids = UniqueIds(address)
        self.replies = Replies()
        self.packer = Packer(self.unique_ids, self.settings)
        self.remoting = RemotingClient(
            BrokerRequests(self).handlers(), credentials=self.settings.credentials, tls=self.settings.tls
        )
        self.name_servers = NameServers(self.name_server_addresses, self.remoting, self.settings.request_timeout_s)
        self.routes = Routes(self.name_servers)
        self.remoting.common_fields = v2_fields(self.settings.namespace_v2)
        self.brokers = BrokerCalls(self.remoting, self.settings.request_timeout_s)
        self.heartbeats = Heartbeats(self.brokers, self.settings, self._heartbeat_addresses, self._heartbeat_data)
        self._route_refresh_due = asyncio.Event()
        self._tasks = [spawn(self._keep_routes(), "routes"), spawn(self.heartbeats.run(), "heartbeats")]

    async def close(self) -> None:
        """Count one user less; the last one closes every connection."""
        self._user_count -= 1
        if self._user_count:
            return
        await cancel(*self._tasks)
        await self.remoting.close()

    def check_usable(self) -> None:
        """Raises: AlreadyStopped: not open, or opened by the parent of this forked process."""
        if self._user_count == 0:
            raise AlreadyStopped("not started: call start(), or use `async with`")
        if self._generation != forking.generation():
            raise AlreadyStopped("started in the parent of this process: after a fork, make and start a new one")

    @property
    def stable_id(self) -> str:
        """The client id without what changes from start to start; RocketMQ's clients call themselves DEFAULT there."""
        return f"{self.client_id.partition('@')[0]}@{self._instance_name or 'DEFAULT'}"

    def descriptors(self) -> Iterator[int]:
        """The file descriptors of the open connections."""
        if self._user_count:
            for connection in self.remoting.connections:
                yield connection.fileno()

    # ---- members

    async def join_producer(self, member: ProducerMember) -> None:
        """Raises: ValueError: another producer of that group uses this client."""
        _check_free(member.group, self.producers, "producer")
        await self.open()
        self.producers[member.group] = member

    async def join_consumer(self, member: ConsumerMember) -> None:
        """Tell the brokers of the consumer's topics about it, as far as they can be reached.

        Raises: ValueError: another consumer of that group uses this client.
        """
        _check_free(member.group, self.consumers, "consumer")
        await self.open()
        self.consumers[member.group] = member
        try:
            await self.routes.refresh(member.topics())
            await self.heartbeats.to_all()
            # The first heartbeat of a new group creates its retry topic, which had no route until now.
            await self.routes.refresh(topic for topic in member.topics() if self.routes.cached(topic) is None)
        except BaseException:
            await self.leave(member)
            raise

    async def leave(self, member: Member) -> None:
        """Say goodbye to the brokers, so that a group's others take over at once, and stop using the client."""
        producer = member.group if self.producers.get(member.group) is member else None
        consumer = member.group if self.consumers.get(member.group) is member else None
        if producer is not None:
            del self.producers[producer]
        if consumer is not None:
            del self.consumers[consumer]
        goodbyes = [
            self.brokers.unregister(address, self.client_id, producer=producer, consumer=consumer)
            for address in self.heartbeats.greeted
        ]
        for answer in await asyncio.gather(*goodbyes, return_exceptions=True):
            if isinstance(answer, MQError):
                logger.info("unregistering %s: %s", member.group, answer)
        await self.close()

    # ---- background

    def refresh_routes_soon(self) -> None:
        """Something was not where its route says it is."""
        self._route_refresh_due.set()

    async def _keep_routes(self) -> None:
        while True:
            await wait_for(self._route_refresh_due, self.settings.route_refresh_s)
            members: list[Member] = [*self.producers.values(), *self.consumers.values()]
            await self.routes.refresh(sorted({topic for member in members for topic in member.topics()}))
            await asyncio.sleep(min(_ROUTE_REFRESH_PAUSE_S, self.settings.route_refresh_s))
            self._route_refresh_due.clear()

    def _heartbeat_addresses(self) -> Iterator[str]:
        """Masters, and their slaves too when somebody here consumes; nobody when nobody lives here."""
        if self.producers or self.consumers:
            for addresses in self.routes.brokers.values():
                for broker_id, address in addresses.items():
                    if self.consumers or broker_id == MASTER_ID:
                        yield address

    def _heartbeat_data(self) -> HeartbeatData:
        return HeartbeatData(
            client_id=self.client_id,
            producer_data_set=[ProducerData(group) for group in self.producers],
            consumer_data_set=[consumer.heartbeat_data() for consumer in self.consumers.values()],
        )


def _check_free(group: str, members: dict[str, ProducerMember] | dict[str, ConsumerMember], kind: str) -> None:
    if group in members:
        raise ValueError(
            f"this client has a {kind} of group {group!r} already: share it, or give it a Client of its own"
        )


def _local_address(peer: str) -> str:
    """The address this machine would use to reach `peer`; nothing is sent."""
    host, _, port = peer.rpartition(":")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, int(port)))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
