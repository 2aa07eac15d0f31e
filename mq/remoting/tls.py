"""TLS for both ends: contexts from certificate files, and the listener that takes TLS and plain text on one port.

A connection that begins with the byte 0x16 speaks TLS, any other plain text, as in RocketMQ: no frame of its protocol
begins so, since that would announce more than 16 MiB. TLS 1.2 or newer. Source: RocketMQ TlsHelper, TlsModeHandler.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mq.errors import MQError

logger = logging.getLogger(__name__)

_CLIENT_HELLO: Final = b"\x16"
_BACKLOG: Final = 1024
#: What a peer gets to say its first byte, and then to finish the handshake.
_FIRST_BYTE_S: Final = 120.0
_HANDSHAKE_S: Final = 10.0
_PAUSE_S: Final = 0.1


class TlsMode(enum.Enum):
    """`tls.server.mode`: no TLS, both, or nothing but TLS."""

    DISABLED = "disabled"
    PERMISSIVE = "permissive"
    ENFORCING = "enforcing"


class ClientAuth(enum.Enum):
    """`tls.server.need.client.auth`: whether a client must show a certificate of its own."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRE = "require"


class TlsError(MQError):
    """Certificates or keys that cannot be used; the sentence names the file."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS as a client wants it; paths are PEM files.

    `trust_cert_path` None: the authorities that the system trusts. `verify` False encrypts without asking who the
    other end is, as RocketMQ's clients do unless told otherwise: anybody in between can read along.
    """

    trust_cert_path: Path | str | None = None
    cert_path: Path | str | None = None
    key_path: Path | str | None = None
    key_password: str | None = field(default=None, repr=False)
    verify: bool = True
    check_hostname: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises: TlsError: a file that cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.verify and self.check_hostname
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        elif self.trust_cert_path is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            # What the file holds is trusted as it is: an authority's certificate, or the server's very own.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            _trust(context, self.trust_cert_path)
        if self.cert_path is not None:
            _show(context, self.cert_path, self.key_path, self.key_password)
        return context


def server_context(
    cert_path: Path,
    key_path: Path,
    *,
    key_password: str | None = None,
    trust_cert_path: Path | None = None,
    client_auth: ClientAuth = ClientAuth.NONE,
) -> ssl.SSLContext:
    """Raises: TlsError: a file that cannot be used, or clients to be verified by nobody's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show(context, cert_path, key_path, key_password)
    if client_auth is not ClientAuth.NONE:
        if trust_cert_path is None:
            raise TlsError(f"tls.server.need.client.auth={client_auth.value} needs tls.server.trustCertPath")
        _trust(context, trust_cert_path)
        context.verify_mode = ssl.CERT_REQUIRED if client_auth is ClientAuth.REQUIRE else ssl.CERT_OPTIONAL
    return context


class MixedListener:
    """A listening socket whose connections begin when their first byte has told what they speak.

    `takes_plain` False refuses plain text. Connections that have not said anything yet count against `max_waiting`.
    """

    def __init__(
        self,
        new_protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        *,
        takes_plain: bool,
        max_waiting: int,
    ) -> None:
        self._new_protocol = new_protocol
        self._context = context
        self._takes_plain = takes_plain
        self._max_waiting = max_waiting
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises: OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket))
        return int(self._socket.getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections; those that have begun are their owner's to close."""
        tasks = [*self._waiting, *([self._accepting] if self._accepting else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listening)
            except OSError as error:  # out of descriptors, or the peer has gone again: neither is the end
                logger.warning("a connection could not be taken: %s", error)
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self._waiting) >= self._max_waiting:
                accepted.close()
                continue
            task = asyncio.create_task(self._begin(accepted))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _begin(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(_FIRST_BYTE_S):
                first = await _peek(loop, accepted)
            if first == _CLIENT_HELLO:
                await loop.connect_accepted_socket(
                    self._new_protocol, accepted, ssl=self._context, ssl_handshake_timeout=_HANDSHAKE_S
                )
            elif first and self._takes_plain:
                await loop.connect_accepted_socket(self._new_protocol, accepted)
            else:
                accepted.close()
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            logger.info("a connection did not begin: %s", error or "nothing was said")
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise


async def _peek(loop: asyncio.AbstractEventLoop, accepted: socket.socket) -> bytes:
    """The first byte, which stays to be read; empty when the peer closed."""
    readable = asyncio.Event()
    loop.add_reader(accepted, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(accepted)
    return accepted.recv(1, socket.MSG_PEEK)


def _show(context: ssl.SSLContext, cert: Path | str, key: Path | str | None, password: str | None) -> None:
    try:
        # A password is always given: without one OpenSSL would ask at the terminal.
        context.load_cert_chain(Path(cert).expanduser(), Path(key).expanduser() if key else None, password or "")
    except (OSError, ValueError) as error:
        raise TlsError(f"certificate {cert} with key {key or cert} cannot be used: {error}") from error


def _trust(context: ssl.SSLContext, path: Path | str) -> None:
    try:
        context.load_verify_locations(Path(path).expanduser())
    except OSError as error:
        raise TlsError(f"trusted certificates {path} cannot be used: {error}") from error
