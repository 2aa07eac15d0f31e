"""Listens, and hands every connection the same handlers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from mq.message import Host
from mq.remoting.connection import Connection, ConnectionLimits, Guard, Handler, close_all
from mq.remoting.tls import MixedListener

logger = logging.getLogger(__name__)

_CHECK_INTERVAL_S: Final = 1.0
_BACKLOG: Final = 1024


class ServerTls(NamedTuple):
    """TLS on the same port, beside plain text or instead of it."""

    context: ssl.SSLContext
    takes_plain: bool


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
        guard: Guard | None = None,
        tls: ServerTls | None = None,
    ) -> None:
        """`guard` looks at every request before its handler does, and raises to refuse it."""
        self._handlers = handlers
        self._on_connect = on_connect
        self._on_close = on_close
        self._limits = limits or ConnectionLimits()
        self._max_connections = max_connections
        self._guard = guard
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._mixed: MixedListener | None = None
        self._check: asyncio.TimerHandle | None = None
        self.connections: set[Connection] = set()
        self.port = 0

    async def start(self, host: str, port: int) -> Host:
        """Listen; port 0 takes a free one. The address returned is the one that was bound.

        Raises: OSError: the port is taken or is none, or the address is not ours; the text names both.
        """
        loop = asyncio.get_running_loop()
        try:
            if self._tls is None:
                self._server = await loop.create_server(self._connection, host, port, backlog=_BACKLOG)
                self.port = self._server.sockets[0].getsockname()[1]
            else:
                self._mixed = MixedListener(
                    self._connection,
                    self._tls.context,
                    takes_plain=self._tls.takes_plain,
                    max_waiting=self._max_connections,
                )
                self.port = self._mixed.start(host, port)
        except (OSError, OverflowError) as error:
            code = getattr(error, "errno", None) or errno.EINVAL
            reason = os.strerror(code) if code > 0 else str(error)
            raise OSError(code, f"cannot listen on {host}:{port}: {reason}") from error
        self._check = loop.call_later(_CHECK_INTERVAL_S, self._check_liveness)
        return Host(host, self.port)

    async def stop(self) -> None:
        """Take no more connections, send what is waiting, and close all."""
        if self._check is not None:
            self._check.cancel()
        if self._mixed is not None:
            await self._mixed.stop()
            self._mixed = None
        if self._server is not None:
            self._server.close()
        await close_all(self.connections)
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def _connection(self) -> Connection:
        return Connection(
            self._handlers,
            limits=self._limits,
            on_open=self._opened,
            on_close=self._closed,
            throttles=True,
            guard=self._guard,
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
