"""Connections to any number of addresses, opened when first needed and again after they broke."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from mq.errors import AlreadyStopped, ConnectionLost
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, ConnectionLimits, Handler, close_all
from mq.remoting.signature import Credentials, RequestSigner
from mq.remoting.tls import TlsSettings

_CONNECT_TIMEOUT_S: Final = 3.0
_CHECK_INTERVAL_S: Final = 5.0


class RemotingClient:
    """Asks anybody; `handlers` answer what peers ask us on the same connections."""

    def __init__(
        self,
        handlers: Mapping[int, Handler] | None = None,
        *,
        limits: ConnectionLimits | None = None,
        credentials: Credentials | None = None,
        tls: TlsSettings | None = None,
    ) -> None:
        """`credentials`: sign every request with them.

        Raises: TlsError: certificates that cannot be used.
        """
        self._sign = RequestSigner(credentials) if credentials else None
        self._tls = tls.context() if tls else None
        self._handlers = handlers or {}
        self._limits = limits or ConnectionLimits()
        self._connections: dict[str, Connection] = {}
        self._attempts: dict[str, asyncio.Task[Connection]] = {}
        self._check: asyncio.TimerHandle | None = None
        self._is_closed = False
        #: Header fields of every request, besides its own.
        self.common_fields: dict[str, str] = {}

    async def invoke(self, address: str, command: RemotingCommand, timeout_s: float = 3.0) -> RemotingCommand:
        """Send a request to `host:port` and wait for the answer, whatever its code.

        Raises: ConnectionLost: no connection, or it broke.  RequestTimeout: no answer in time.
        """
        connection = await self.connection(address)
        return await connection.invoke(self.complete(command), timeout_s)

    async def invoke_oneway(self, address: str, command: RemotingCommand) -> None:
        """Send a request that nobody answers. Raises: ConnectionLost: no connection."""
        connection = await self.connection(address)
        connection.send_oneway(self.complete(command))

    def complete(self, command: RemotingCommand) -> RemotingCommand:
        """The request with the fields that all of ours carry; for those that are sent on a connection directly."""
        if self.common_fields:
            command.raw_ext = command.ext_fields | self.common_fields
        return command

    async def connection(self, address: str) -> Connection:
        """The open connection to `host:port`; callers who come while it is being opened share the attempt.

        Raises: ConnectionLost: it could not be opened within 3 s.
        """
        connection = self._connections.get(address)
        if connection is not None and not connection.is_closed:
            return connection
        if self._is_closed:
            raise AlreadyStopped("this client was closed")
        attempt = self._attempts.get(address)
        if attempt is None:
            attempt = self._attempts[address] = asyncio.create_task(self._connect(address))
            attempt.add_done_callback(lambda _: self._attempts.pop(address, None))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():  # by `close`, not by whoever awaits us
                raise AlreadyStopped("this client was closed while it was connecting") from None
            raise

    def sign_as(self, credentials: Credentials) -> None:
        """Sign with others from now on, on open connections as well."""
        self._sign = RequestSigner(credentials)
        for connection in self._connections.values():
            connection.on_request = self._sign

    @property
    def connections(self) -> list[Connection]:
        """Those that are open now."""
        return list(self._connections.values())

    async def close(self) -> None:
        """Send what is waiting and close every connection."""
        self._is_closed = True
        if self._check is not None:
            self._check.cancel()
        for attempt in list(self._attempts.values()):
            attempt.cancel()
        await close_all(self._connections.values())

    async def _connect(self, address: str) -> Connection:
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            if not port.isdigit():
                raise OSError("an address is host:port")
            _, connection = await asyncio.wait_for(
                loop.create_connection(
                    lambda: Connection(self._handlers, limits=self._limits, on_request=self._sign),
                    host.strip("[]"),
                    int(port),
                    ssl=self._tls,
                ),
                _CONNECT_TIMEOUT_S,
            )
        except (OSError, TimeoutError) as error:
            raise ConnectionLost(f"no connection to {address}: {error or 'timed out'}") from error
        self._connections[address] = connection
        connection.add_close_listener(lambda closed: self._forget(address, closed))
        if self._check is None:
            self._check = loop.call_later(_CHECK_INTERVAL_S, self._check_liveness)
        return connection

    def _forget(self, address: str, closed: Connection) -> None:
        if self._connections.get(address) is closed:
            del self._connections[address]

    def _check_liveness(self) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for connection in list(self._connections.values()):
            connection.check_liveness(now_s)
        self._check = loop.call_later(_CHECK_INTERVAL_S, self._check_liveness)
