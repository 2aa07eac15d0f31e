"""Where topics live: asked of a name server, kept, and good for as long as no name server answers.

A `Route` never changes; a refreshed one takes its place. Producers that found no route for a topic borrow the one of
`TBW102`, with at most four queues per broker: the broker then creates the topic when the first message arrives.

Source: RocketMQ MQClientInstance.updateTopicRouteInfoFromNameServer, TopicRouteData; remoting sheet 4.2, 9.4 and 12.3.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mq.client.allocation import sort_queues
from mq.errors import ConnectionLost, MQError, NoRoute, RemoteProtocolError, RequestTimeout, ResponseError
from mq.message import MessageQueue
from mq.remoting.bodies import ClusterInfo, TopicRouteData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand

logger = logging.getLogger(__name__)

#: The topic whose route stands in for topics that do not exist yet, and the most queues taken from it.
DEFAULT_TOPIC: Final = "TBW102"
DEFAULT_QUEUE_COUNT: Final = 4
MASTER_ID: Final = 0

_PERM_READ = 4
_PERM_WRITE = 2


@dataclass(frozen=True)
class Route:
    """One topic's queues, sorted as Java sorts them, and its brokers' addresses by name and id (0 is the master)."""

    topic: str
    publish_queues: tuple[MessageQueue, ...]
    subscribe_queues: tuple[MessageQueue, ...]
    brokers: Mapping[str, Mapping[int, str]]
    #: Borrowed from the default topic: the topic itself does not exist yet.
    is_borrowed: bool = False


class NameServers:
    """The name servers as one: a random one is asked until it fails, then the next; their answers are never merged."""

    def __init__(self, addresses: tuple[str, ...], remoting: RemotingClient, timeout_s: float) -> None:
        self._addresses = random.sample(addresses, len(addresses))
        self._remoting = remoting
        self._timeout_s = timeout_s
        self._current = 0

    async def ask(self, command: RemotingCommand) -> RemotingCommand:
        """The first answer, whatever it says.

        Raises: ConnectionLost, RequestTimeout: the last failure, when none answered.
        """
        failure: MQError = ConnectionLost("no name server")
        for _ in self._addresses:
            address = self._addresses[self._current]
            try:
                return await self._remoting.invoke(address, command, timeout_s=self._timeout_s)
            except (ConnectionLost, RequestTimeout) as error:
                failure = error
                self._current = (self._current + 1) % len(self._addresses)
        raise failure

    async def route(self, topic: str) -> TopicRouteData | None:
        """The route as the name server has it; None when it knows no such topic."""
        response = await self.ask(RemotingCommand.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": topic}))
        if response.code == ResponseCode.TOPIC_NOT_EXIST:
            return None
        _raise_unless_success(response)
        return TopicRouteData.from_json(response.body)

    async def cluster_info(self) -> ClusterInfo:
        response = await self.ask(RemotingCommand.request(RequestCode.GET_BROKER_CLUSTER_INFO))
        _raise_unless_success(response)
        return ClusterInfo.from_json(response.body)


class Routes:
    """The routes of the topics somebody here asked for, and with them every broker we may have to talk to."""

    def __init__(self, name_servers: NameServers) -> None:
        self._name_servers = name_servers
        self._routes: dict[str, Route] = {}
        self._brokers: dict[str, Mapping[int, str]] = {}
        self._follows_cluster = False
        #: Every broker of the cluster, as a name server last told us.
        self._cluster: dict[str, Mapping[int, str]] = {}
        self._fetches: dict[tuple[str, bool], asyncio.Task[Route | None]] = {}

    def cached(self, topic: str) -> Route | None:
        return self._routes.get(topic)

    async def of(self, topic: str, *, or_default: bool = False) -> Route:
        """The cached route, or the one a name server gives.

        Raises: NoRoute: no such topic (and none to borrow), or no name server answered and nothing is cached.
        """
        return self._routes.get(topic) or await self.fetch(topic, or_default=or_default)

    async def fetch(self, topic: str, *, or_default: bool = False) -> Route:
        """Ask a name server now; many callers share one question. What is cached stays when there is no answer.

        Raises: as `of`.
        """
        task = self._fetches.get((topic, or_default))
        if task is None:
            task = self._fetches[topic, or_default] = asyncio.create_task(self._fetch(topic, or_default))
            task.add_done_callback(lambda done: self._fetched((topic, or_default), done))
        try:
            route = await asyncio.shield(task)
        except (ConnectionLost, RequestTimeout, ResponseError, RemoteProtocolError) as error:
            cached = self._routes.get(topic)
            if cached is not None:
                return cached
            raise NoRoute(f"no name server answered for topic {topic!r}: {error}") from error
        if route is None:
            raise NoRoute(
                f"no broker serves topic {topic!r}: create it, or let the broker do so (autoCreateTopicEnable)"
            )
        return route

    def follow_cluster(self) -> None:
        """From the next refresh on, know every broker of the cluster, whatever topics are asked for."""
        self._follows_cluster = True

    async def refresh(self, topics: Iterable[str]) -> None:
        """Ask again for all of them; failures leave what is cached in place."""
        for topic in topics:
            try:
                await self.fetch(topic, or_default=topic in self._routes and self._routes[topic].is_borrowed)
            except NoRoute as error:
                logger.info("%s", error)
        if self._follows_cluster:
            await self._fetch_cluster()
        named = {name for route in self._routes.values() for name in route.brokers}
        self._brokers = {name: addresses for name, addresses in self._brokers.items() if name in named} | self._cluster

    def broker_addresses(self, broker_name: str) -> Mapping[int, str]:
        return self._brokers.get(broker_name, {})

    def master(self, broker_name: str) -> str:
        """The address that takes sends and locks of a broker.

        Raises: NoRoute: no route names a master of it.
        """
        address = self.broker_addresses(broker_name).get(MASTER_ID)
        if address is None:
            raise NoRoute(f"no route names a master of broker {broker_name!r}")
        return address

    @property
    def brokers(self) -> Mapping[str, Mapping[int, str]]:
        """Every broker that some route names: name -> id -> address."""
        return self._brokers

    def _fetched(self, key: tuple[str, bool], task: asyncio.Task[Route | None]) -> None:
        del self._fetches[key]
        if not task.cancelled():
            task.exception()  # Seen, also when everybody who asked has given up meanwhile.

    async def _fetch_cluster(self) -> None:
        try:
            cluster = await self._name_servers.cluster_info()
        except MQError as error:
            logger.info("no name server told about the cluster: %s", error)
        else:
            self._cluster = {name: broker.broker_addrs for name, broker in cluster.broker_addr_table.items()}

    async def _fetch(self, topic: str, or_default: bool) -> Route | None:
        data = await self._name_servers.route(topic)
        is_borrowed = False
        if data is None and topic in self._routes and not self._routes[topic].is_borrowed:
            # The topic was there: a name server that restarted may not have heard of it yet.
            return self._routes[topic]
        if data is None and or_default:
            data, is_borrowed = await self._name_servers.route(DEFAULT_TOPIC), True
        if data is None:
            return None
        route = build_route(topic, data, is_borrowed=is_borrowed)
        if route != self._routes.get(topic):
            self._routes[topic] = route
        self._brokers.update(route.brokers)
        return self._routes[topic]


def build_route(topic: str, data: TopicRouteData, *, is_borrowed: bool = False) -> Route:
    """The queues one may send to (write bit, a live master) and read from (read bit)."""
    brokers = {broker.broker_name: dict(broker.broker_addrs) for broker in data.broker_datas}
    publish, subscribe = [], []
    for queues in data.queue_datas:
        name = queues.broker_name
        write_count, read_count = queues.write_queue_nums, queues.read_queue_nums
        if is_borrowed:
            write_count = read_count = min(read_count, DEFAULT_QUEUE_COUNT)
        if queues.perm & _PERM_WRITE and MASTER_ID in brokers.get(name, {}):
            publish += [MessageQueue(topic, name, queue_id) for queue_id in range(write_count)]
        if queues.perm & _PERM_READ and name in brokers:
            subscribe += [MessageQueue(topic, name, queue_id) for queue_id in range(read_count)]
    return Route(topic, sort_queues(publish), sort_queues(subscribe), brokers, is_borrowed)


def _raise_unless_success(response: RemotingCommand) -> None:
    if response.code != ResponseCode.SUCCESS:
        raise ResponseError(response.code, response.remark)
