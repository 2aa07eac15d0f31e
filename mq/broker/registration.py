"""Making this broker known: it registers with every name server, and with each one again whenever something changed.

A name server forgets a broker when the connection of its registration closes, so one connection to each is kept; when
it breaks we come back within a second or so. Name servers that are down disturb nothing: clients go on with the routes
they know, and we go on trying. Source: RocketMQ BrokerOuterAPI, BrokerController.registerBrokerAll.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from mq.broker.system_names import PERM_READ, PERM_READ_WRITE
from mq.errors import MQError, ResponseError
from mq.remoting.bodies import RegisterBrokerBody, TopicConfig, TopicConfigSerializeWrapper, TopicRouteData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import RegisterBrokerRequestHeader, UnRegisterBrokerRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

_REQUEST_TIMEOUT_S: Final = 2.0
#: A stop waits no longer for a name server that hangs: it forgets us with our connection anyway.
_FAREWELL_TIMEOUT_S: Final = 0.5
_RETRY_S: Final = 1.0
#: RocketMQ allows 10 to 60 s between registrations.
_INTERVAL_S: Final = (10.0, 60.0)


class NameServers:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.addresses = parse_addresses(broker.config.name_server_addresses)
        config = broker.config
        self._client = RemotingClient(credentials=config.credentials(broker.accounts), tls=config.client_tls())
        self._wake = {address: asyncio.Event() for address in self.addresses}
        self._tasks: list[asyncio.Task[None]] = []
        self._down: set[str] = set()

    def sign_anew(self) -> None:
        """The accounts have changed: sign as the administrator of now."""
        credentials = self._broker.config.credentials(self._broker.accounts)
        if credentials is not None:
            self._client.sign_as(credentials)

    async def start(self) -> None:
        """Register once everywhere, then keep registered in the background."""
        await self.register_now()
        self._tasks = [asyncio.create_task(self._keep_registered(address)) for address in self.addresses]

    async def stop(self) -> None:
        """Say farewell to every name server that listens, so that clients hear of it at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.gather(*(self._unregister(address) for address in self.addresses if address not in self._down))
        await self._client.close()

    def changed(self) -> None:
        """Announce a change of the topics, soon: changes of one turn of the loop travel together."""
        for event in self._wake.values():
            event.set()

    async def register_now(self) -> None:
        """Announce the topics as they are and wait until each name server that is up knows them.

        One that was down a moment ago hears of them when it is back: nobody waits for it here.
        """
        await asyncio.gather(*(self._register(address) for address in self.addresses if address not in self._down))

    async def read_queue_counts(self, topic: str) -> dict[str, int] | None:
        """How many queues of a topic may be read on each broker; None without a name server that says."""
        for address in self.addresses:
            request = RemotingCommand.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": topic})
            try:
                response = await self._client.invoke(address, request, timeout_s=_REQUEST_TIMEOUT_S)
            except MQError as error:
                logger.info("name server %s does not say where %s lies: %s", address, topic, error)
                continue
            if response.code == 0:
                route = TopicRouteData.from_json(response.body)
                return {each.broker_name: each.read_queue_nums for each in route.queue_datas if each.perm & PERM_READ}
        return None

    async def _keep_registered(self, address: str) -> None:
        wake = self._wake[address]
        low, high = _INTERVAL_S
        while True:
            interval_s = min(max(self._broker.config.register_interval_ms / 1000, low), high)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), _RETRY_S if address in self._down else interval_s)
            wake.clear()
            await self._register(address)

    async def _register(self, address: str) -> None:
        config = self._broker.config
        header = RegisterBrokerRequestHeader(
            broker_name=config.broker_name,
            broker_addr=self._broker.address,
            cluster_name=config.cluster_name,
            ha_server_addr=f"{config.advertised_address}:{self._broker.store_host.port + 1}",
            broker_id=config.broker_id,
            compressed=False,
            body_crc32=0,
        )
        topics = self._broker.topics
        table = {name: _permitted(topic, config.permission) for name, topic in topics.all().items()}
        body = RegisterBrokerBody(TopicConfigSerializeWrapper(topics.data_version, table)).to_json()
        try:
            await self._call(address, RemotingCommand.request(RequestCode.REGISTER_BROKER, header, body))
        except MQError as error:
            if address not in self._down:
                logger.warning("name server %s does not take our registration, trying on: %s", address, error)
            self._down.add(address)
            return
        if address in self._down:
            logger.info("registered with name server %s again", address)
        self._down.discard(address)

    async def _unregister(self, address: str) -> None:
        config = self._broker.config
        header = UnRegisterBrokerRequestHeader(
            broker_name=config.broker_name,
            broker_addr=self._broker.address,
            cluster_name=config.cluster_name,
            broker_id=config.broker_id,
        )
        try:
            request = RemotingCommand.request(RequestCode.UNREGISTER_BROKER, header)
            await self._call(address, request, _FAREWELL_TIMEOUT_S)
        except MQError as error:
            logger.info("name server %s did not hear that we stop: %s", address, error)

    async def _call(self, address: str, command: RemotingCommand, timeout_s: float = _REQUEST_TIMEOUT_S) -> None:
        response = await self._client.invoke(address, command, timeout_s=timeout_s)
        if response.code != 0:
            raise ResponseError(response.code, response.remark)
        connection = await self._client.connection(address)
        if "registration" not in connection.attributes:
            connection.attributes["registration"] = address
            # The name server drops us with the connection, so come back at once.
            connection.add_close_listener(lambda _connection: self._wake[address].set())


def _permitted(topic: TopicConfig, permission: int) -> TopicConfig:
    """The topic as clients may use it: a broker that may not be written to (or read) takes that from each topic."""
    if permission & PERM_READ_WRITE == PERM_READ_WRITE:
        return topic
    return msgspec.structs.replace(topic, perm=topic.perm & permission)


def parse_addresses(text: str) -> list[str]:
    """`host:port;host:port`, as RocketMQ writes lists of name servers."""
    return [address.strip() for address in text.replace(",", ";").split(";") if address.strip()]
