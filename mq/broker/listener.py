"""Where clients connect: `listenPort`, and two below it the "VIP channel" of old Java clients and the dashboard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mq.errors import StoreNotWritable
from mq.remoting.connection import Connection, Handler
from mq.remoting.server import RemotingServer
from mq.security.guard import Guard, Rule

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)


class Listener:
    """Both ports have the same handlers: a client may use either for anything, where RocketMQ refuses pulls on VIP."""

    def __init__(
        self,
        broker: Broker,
        handlers: Mapping[int, Handler],
        rules: Mapping[int, Rule],
        on_close: Callable[[Connection], None],
    ) -> None:
        self._broker = broker
        guard = Guard(broker.accounts, rules) if broker.accounts is not None else None
        tls = broker.config.server_tls()
        self.server = RemotingServer(handlers, on_close=on_close, guard=guard, tls=tls)
        self.vip_server = RemotingServer(handlers, on_close=on_close, guard=guard, tls=tls)

    async def start(self) -> None:
        """Raises: OSError: `listenPort` is taken; a taken VIP port is only a warning."""
        config, port = self._broker.config, self._broker.store_host.port
        await self.server.start(config.bind_address, port)
        if not config.vip_channel or port <= 2 or config.listen_port == 0:
            return
        try:
            await self.vip_server.start(config.bind_address, port - 2)
        except OSError as error:
            logger.warning("no VIP channel: port %d is not free (%s)", port - 2, error)

    async def stop(self) -> None:
        """Answer what was sent, then close every connection."""
        with contextlib.suppress(StoreNotWritable):
            await self._broker.store.durable()
        await asyncio.gather(self.vip_server.stop(), self.server.stop())
