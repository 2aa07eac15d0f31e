"""Telling brokers which groups live here: at an interval, and again soon after a connection was lost.

A broker knows a client by the connection its last heartbeat came over: there it asks about transactions and announces
changes of a group. So a lost connection is opened and greeted again without waiting for the next request.

Source: RocketMQ MQClientInstance.sendHeartbeatToAllBroker; remoting sheet 6.1 and 12.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from mq.client.background import wait_for
from mq.client.broker_calls import BrokerCalls
from mq.client.settings import ClientSettings
from mq.errors import MQError
from mq.remoting.bodies import HeartbeatData
from mq.remoting.connection import Connection

logger = logging.getLogger(__name__)


class Heartbeats:
    """`addresses` are the brokers that should know us now, `data` what they should know."""

    def __init__(
        self,
        brokers: BrokerCalls,
        settings: ClientSettings,
        addresses: Callable[[], Iterable[str]],
        data: Callable[[], HeartbeatData],
    ) -> None:
        self._brokers = brokers
        self._settings = settings
        self._addresses = addresses
        self._data = data
        #: The connections over which a broker knows us, and the brokers that do not know us any more.
        self._greeted: dict[str, Connection] = {}
        self._lost: set[str] = set()
        self._has_lost = asyncio.Event()

    @property
    def greeted(self) -> list[str]:
        """The addresses of the brokers that know us."""
        return list(self._greeted)

    async def to_all(self) -> None:
        """One heartbeat to every broker; those that failed are tried again soon."""
        await self._greet_all(set(self._addresses()))

    async def greet(self, address: str) -> None:
        """One heartbeat to one broker.

        Raises: MQError: it was not taken.
        """
        connection = await self._brokers.remoting.connection(address)
        await self._brokers.heartbeat(address, self._data())
        self._lost.discard(address)
        if self._greeted.get(address) is not connection:
            self._greeted[address] = connection
            connection.add_close_listener(lambda closed: self._lose(address, closed))

    async def ensure(self, address: str) -> None:
        """Greet a broker unless it knows us over this very connection: it refuses pulls of a group it does not know."""
        if address not in self._greeted:
            await self.greet(address)

    async def run(self) -> None:
        """A round at every interval, and sooner for those that were lost, as long as a route names them."""
        loop = asyncio.get_running_loop()
        next_round_s = loop.time() + self._settings.heartbeat_s
        while True:
            if self._lost:
                await asyncio.sleep(self._settings.reconnect_s)
            else:
                await wait_for(self._has_lost, next_round_s - loop.time())
            self._has_lost.clear()
            if loop.time() >= next_round_s:
                next_round_s = loop.time() + self._settings.heartbeat_s
                await self.to_all()
            elif self._lost:
                self._lost &= set(self._addresses())
                await self._greet_all(self._lost)

    async def _greet_all(self, addresses: set[str]) -> None:
        ordered = sorted(addresses)
        answers = await asyncio.gather(*(self.greet(address) for address in ordered), return_exceptions=True)
        for address, answer in zip(ordered, answers, strict=True):
            if isinstance(answer, MQError):
                logger.info("heartbeat to %s: %s", address, answer)
                self._lost.add(address)
                self._has_lost.set()
            elif answer is not None:
                raise answer

    def _lose(self, address: str, closed: Connection) -> None:
        if self._greeted.get(address) is closed:
            del self._greeted[address]
            self._lost.add(address)
            self._has_lost.set()
