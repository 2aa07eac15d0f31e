"""TLS and plain text on one port, from real sockets, on both event loops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mq import event_loop
from mq.client import ClientSettings, Producer, TlsSettings
from mq.errors import ConnectionLost
from mq.message import Message
from mq.remoting.client import RemotingClient
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.server import RemotingServer, ServerTls
from mq.remoting.tls import ClientAuth, TlsError, TlsMode, server_context
from mq.security.tests.certificates import Authority, Pair
from mq.testing import standalone

ECHO = 7


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def pair(authority) -> Pair:
    made: Pair = authority.pair("broker")
    return made


def echo(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return command.respond(body=command.body)


@asynccontextmanager
async def served(pair: Pair, *, takes_plain: bool = True, **changes: Any) -> AsyncIterator[RemotingServer]:
    tls = ServerTls(server_context(pair.cert, pair.key, **changes), takes_plain)
    server = RemotingServer({ECHO: echo}, tls=tls)
    await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


async def answer(server: RemotingServer, tls: TlsSettings | None, body: bytes = b"hello") -> bytes:
    client = RemotingClient(tls=tls)
    try:
        command = RemotingCommand.request(ECHO, None, body)
        return (await client.invoke(f"127.0.0.1:{server.port}", command)).body
    finally:
        await client.close()


class TestOnePort:
    async def test_takes_tls_and_plain_text(self, authority, pair):
        async with served(pair) as server:
            assert await answer(server, TlsSettings(authority.cert)) == b"hello"
            assert await answer(server, None) == b"hello"

    def test_so_does_the_fast_event_loop(self, authority, pair):
        body = bytes(2_000_000)

        async def main() -> list[bytes]:
            async with served(pair) as server:
                return [await answer(server, tls, body) for tls in (TlsSettings(authority.cert), None)]

        assert event_loop.run(main()) == [body, body]

    async def test_enforcing_closes_plain_text(self, authority, pair):
        async with served(pair, takes_plain=False) as server:
            assert await answer(server, TlsSettings(authority.cert)) == b"hello"
            with pytest.raises(ConnectionLost):
                await answer(server, None)

    async def test_many_come_and_go_and_nothing_is_left(self, authority, pair):
        async with served(pair) as server:
            kinds = [TlsSettings(authority.cert) if number % 2 else None for number in range(12)]
            assert await asyncio.gather(*(answer(server, tls) for tls in kinds)) == [b"hello"] * 12
            async with asyncio.timeout(5):
                while server.connections:
                    await asyncio.gather(*(closed(connection) for connection in list(server.connections)))
            assert server._mixed is not None
            assert not server._mixed._waiting

    async def test_those_who_say_nothing_hold_up_nobody_and_end_with_the_server(self, pair):
        async with served(pair) as server:
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
            assert await answer(server, None) == b"hello"
        assert [await reader.read() for reader, _ in silent] == [b""] * 20
        for _, writer in silent:
            writer.close()

    @pytest.mark.parametrize("bad", [b"\x16\x03\x01", b"\x16" + bytes(100), b"\xff" * 50])
    async def test_bytes_that_are_neither_end_that_connection_only(self, pair, bad):
        async with served(pair) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(bad)
            writer.write_eof()
            assert await reader.read() == b"" or bad.startswith(b"\x16")  # OpenSSL may say an alert
            writer.close()
            assert await answer(server, None) == b"hello"

    async def test_beyond_the_limit_of_silent_ones_nobody_is_taken(self, pair):
        tls = ServerTls(server_context(pair.cert, pair.key), takes_plain=True)
        server = RemotingServer({ECHO: echo}, tls=tls, max_connections=3)
        await server.start("127.0.0.1", 0)
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]

        assert await silent[3][0].read() == b""

        await server.stop()
        for _, writer in silent:
            writer.close()


async def closed(connection: Connection) -> None:
    gone = asyncio.Event()
    connection.add_close_listener(lambda _: gone.set())
    await gone.wait()


class TestClients:
    async def test_do_not_speak_to_a_server_that_nobody_vouches_for(self, tmp_path, pair):
        stranger = Authority(tmp_path, "stranger")
        async with served(pair) as server:
            for tls in (TlsSettings(stranger.cert), TlsSettings()):
                with pytest.raises(ConnectionLost, match="certificate"):
                    await answer(server, tls)

    async def test_do_if_told_not_to_look(self, pair):
        async with served(pair) as server:
            assert await answer(server, TlsSettings(verify=False)) == b"hello"

    async def test_must_show_a_certificate_where_one_is_required(self, tmp_path, authority, pair):
        mine, strangers = authority.pair("client", password="open"), Authority(tmp_path, "stranger").pair("stranger")
        required = {"client_auth": ClientAuth.REQUIRE, "trust_cert_path": authority.cert}
        async with served(pair, **required) as server:
            assert await answer(server, TlsSettings(authority.cert, mine.cert, mine.key, "open")) == b"hello"
            for wrong in (TlsSettings(authority.cert), TlsSettings(authority.cert, strangers.cert, strangers.key)):
                with pytest.raises(ConnectionLost):
                    await answer(server, wrong)

    async def test_do_not_speak_anything_older_than_tls_1_2(self, pair):
        assert server_context(pair.cert, pair.key).minimum_version >= ssl.TLSVersion.TLSv1_2


class TestFiles:
    def test_that_cannot_be_used_are_named(self, tmp_path, authority):
        locked = authority.pair("locked", password="open")
        (tmp_path / "junk.pem").write_text("junk")
        for settings, name in (
            (TlsSettings(tmp_path / "none.pem"), "none.pem"),
            (TlsSettings(tmp_path / "junk.pem"), "junk.pem"),
            (TlsSettings(authority.cert, locked.cert, locked.key), "locked"),
        ):
            with pytest.raises(TlsError, match=name):
                settings.context()

    def test_clients_cannot_be_verified_by_nobody(self, pair):
        with pytest.raises(TlsError, match="trustCertPath"):
            server_context(pair.cert, pair.key, client_auth=ClientAuth.REQUIRE)


class TestCluster:
    @pytest.mark.parametrize("mode", list(TlsMode))
    async def test_a_producer_sends_through_name_server_and_broker(self, tmp_path, authority, pair, mode):
        config = {"tls_mode": mode, "tls_cert_path": pair.cert, "tls_key_path": pair.key}
        ways: dict[TlsMode, list[TlsSettings | None]] = {
            TlsMode.DISABLED: [None],
            TlsMode.PERMISSIVE: [None, TlsSettings(authority.cert)],
            TlsMode.ENFORCING: [TlsSettings(authority.cert)],
        }
        async with standalone(tmp_path / "store", **config) as mq:
            for tls in ways[mode]:
                settings = ClientSettings(tls=tls)
                async with Producer("makers", namesrv=mq.namesrv, settings=settings) as producer:
                    await producer.send(Message("Orders", b"over TLS" if tls else b"in plain text"))


def test_a_password_never_shows():
    assert "open" not in repr(TlsSettings(key_password="open"))
