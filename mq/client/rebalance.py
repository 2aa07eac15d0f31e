"""Dividing the queues among the members of a group: everybody computes the same division, and takes only its own share.

Source: RocketMQ RebalanceImpl.rebalanceByTopic, RebalanceService; remoting sheet 6.2.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from mq.client.allocation import AllocateStrategy, allocate
from mq.client.background import wait_for
from mq.client.instance import Client
from mq.client.routes import MASTER_ID, Route
from mq.errors import MQError, NoRoute
from mq.message import MessageQueue

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.02

#: Takes over the share of one topic; False when not all of it could be had yet.
ApplyShare = Callable[[str, frozenset[MessageQueue]], Awaitable[bool]]


class Rebalance:
    def __init__(
        self,
        client: Client,
        group: str,
        topics: Iterable[str],
        strategy: AllocateStrategy,
        apply_share: ApplyShare,
    ) -> None:
        self._client = client
        self._group = group
        self._topics = tuple(topics)
        self._strategy = strategy
        self._apply_share = apply_share
        self._due = asyncio.Event()

    def soon(self) -> None:
        """The group changed, or something else about who should have what."""
        self._due.set()

    async def run(self, *, is_complete: bool) -> None:
        """At every interval, when due, and soon again after a round that was not complete."""
        settings = self._client.settings
        retry_s = _FIRST_RETRY_S
        while True:
            await wait_for(self._due, settings.rebalance_s if is_complete else min(retry_s, settings.rebalance_retry_s))
            self._due.clear()
            # Whoever has a queue that is ours now is most often just about to let go of its lock.
            retry_s = _FIRST_RETRY_S if is_complete else min(2 * retry_s, settings.rebalance_retry_s)
            is_complete = await self.once()

    async def once(self) -> bool:
        """One round over all topics; False when it should soon be repeated."""
        is_complete = True
        for topic in self._topics:
            try:
                share = await self._share(topic)
            except MQError as error:
                # Without an answer everybody keeps what they have.
                logger.info("group %s cannot rebalance topic %s: %s", self._group, topic, error)
                is_complete = False
                continue
            is_complete &= await self._apply_share(topic, share)
        return is_complete

    async def _share(self, topic: str) -> frozenset[MessageQueue]:
        route = await self._client.routes.of(topic)
        address = _any_address(route)
        await self._client.heartbeats.ensure(address)
        client_ids = await self._client.brokers.consumer_ids(address, self._group)
        share = allocate(self._strategy, self._client.client_id, route.subscribe_queues, client_ids)
        # A strategy may name queues of other topics, or some that are not there.
        return frozenset(share) & frozenset(route.subscribe_queues)


def _any_address(route: Route) -> str:
    """A broker of the topic, its master if it has one: all of them know the group's members."""
    if not route.brokers:
        raise NoRoute(f"topic {route.topic!r} has no broker")
    addresses = random.choice(list(route.brokers.values()))
    return addresses.get(MASTER_ID) or random.choice(list(addresses.values()))
