"""Listens, and hands every connection the same handlers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

from mq.message import Host
from mq.remoting.connection import Connection, ConnectionLimits, Handler, close_all

logger = logging.getLogger(__name__)

_CHECK_INTERVAL_S: Final = 1.0
_BACKLOG: Final = 1024


class RemotingServer:
    """One listening socket and its connections."""

    def __init__(
        self,
        handlers: Mapping[int, Handler],
        *,
        on_connect: Callable[[Connection], None] | None = None,
        on_close: Callable[[Connection], None] | None = None,
        limits: ConnectionLimits | None = None,
        max_connections: int = 10_000,
    ) -> None:
        self._handlers = handlers
        self._on_connect = on_connect
        self._on_close = on_close
        self._limits = limits or ConnectionLimits()
        self._max_connections = max_connections
        self._server: asyncio.Server | None = None
        self._check: asyncio.TimerHandle | None = None
        self.connections: set[Connection] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> Host:
        """Listen; port 0 takes a free one. The address returned is the one that was bound.

        Raises: OSError: the port is taken or is none, or the address is not ours; the text names both.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, host, port, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            code = getattr(error, "errno", None) or errno.EINVAL
            reason = os.strerror(code) if code > 0 else str(error)
            raise OSError(code, f"cannot listen on {host}:{port}: {reason}") from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._check = loop.call_later(_CHECK_INTERVAL_S, self._check_liveness)
        return Host(host, self.port)

    async def stop(self) -> None:
        """Take no more connections, send what is waiting, and close all."""
        if self._check is not None:
            self._check.cancel()
        if self._server is None:
            return
        self._server.close()
        await close_all(self.connections)
        await self._server.wait_closed()
        self._server = None

    def _connection(self) -> Connection:
        return Connection(
            self._handlers, limits=self._limits, on_open=self._opened, on_close=self._closed, throttles=True
        )

    def _opened(self, connection: Connection) -> None:
        if len(self.connections) >= self._max_connections:
            logger.warning("refusing %s: there are %d connections already", connection.remote, len(self.connections))
            connection.abort()
            return
        self.connections.add(connection)
        if self._on_connect is not None:
            self._on_connect(connection)

    def _closed(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            if self._on_close is not None:
                self._on_close(connection)

    def _check_liveness(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in list(self.connections):
            connection.check_liveness(now_s)
        self._check = loop.call_later(_CHECK_INTERVAL_S, self._check_liveness)
