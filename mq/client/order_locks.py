"""The broker's locks on queues: who consumes in order must hold one, and renew it while it consumes.

We count a lock as lost when the connection breaks over which we got it, and say so when we ask for it; a bundled broker
then gives it to others at once, while Apache's waits for the lease of a minute.
Source: RocketMQ RebalanceImpl.lock, lockAll, unlock; remoting sheet 6.4.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable

from mq.client.instance import Client
from mq.errors import MQError
from mq.message import MessageQueue
from mq.remoting.connection import Connection

logger = logging.getLogger(__name__)


class OrderLocks:
    def __init__(self, client: Client, group: str, on_connection_lost: Callable[[str], None]) -> None:
        self._client = client
        self._group = group
        self._on_connection_lost = on_connection_lost
        self._connections: dict[str, Connection] = {}
        #: What we hold as far as we know, whatever it is for: all of it must be given back in the end.
        self.held: set[MessageQueue] = set()

    async def lock(self, queues: Iterable[MessageQueue]) -> dict[MessageQueue, bool]:
        """Lock, or renew: True for what we hold now, False for what somebody else holds.

        Queues of brokers that did not answer are left out: an old lease of theirs may still run.
        """
        answers: dict[MessageQueue, bool] = {}

        async def ask(address: str, wanted: list[MessageQueue]) -> None:
            await self._watch(address, wanted[0].broker_name)
            self.held.update(wanted)  # Before asking: when we are canceled meanwhile, the broker may have locked them.
            locked = await self._client.brokers.lock(address, self._group, self._client.client_id, wanted)
            self.held.difference_update(set(wanted) - locked)
            answers.update({queue: queue in locked for queue in wanted})

        await self._per_broker(queues, ask)
        return answers

    async def unlock(self, queues: Collection[MessageQueue]) -> None:
        """Let others have them at once; a broker that does not hear it waits for the lease to run out."""

        async def tell(address: str, ours: list[MessageQueue]) -> None:
            await self._client.brokers.unlock(address, self._group, self._client.client_id, ours)

        self.held.difference_update(queues)
        await self._per_broker(queues, tell)

    async def _watch(self, address: str, broker_name: str) -> None:
        connection = await self._client.remoting.connection(address)
        if self._connections.get(broker_name) is not connection:
            self._connections[broker_name] = connection
            connection.add_close_listener(lambda _: self._on_connection_lost(broker_name))

    async def _per_broker(
        self, queues: Iterable[MessageQueue], ask: Callable[[str, list[MessageQueue]], Awaitable[None]]
    ) -> None:
        by_broker: dict[str, list[MessageQueue]] = defaultdict(list)
        for queue in queues:
            by_broker[queue.broker_name].append(queue)
        await asyncio.gather(*(self._one(name, ours, ask) for name, ours in by_broker.items()))

    async def _one(
        self, broker_name: str, queues: list[MessageQueue], ask: Callable[[str, list[MessageQueue]], Awaitable[None]]
    ) -> None:
        try:
            address = self._client.routes.master(broker_name)
            await self._client.heartbeats.ensure(address)
            await ask(address, queues)
        except MQError as error:
            logger.info("locks of group %s at broker %s: %s", self._group, broker_name, error)
