"""Both ends on real sockets of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mq.errors import ConnectionLost, InvalidMessage, RequestTimeout, ResponseError
from mq.message import Host
from mq.remoting.client import RemotingClient
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.codes import ResponseCode
from mq.remoting.command import FLAG_ONEWAY, RemotingCommand
from mq.remoting.connection import Connection, ConnectionLimits, Handler
from mq.remoting.server import RemotingServer

ECHO, LATER, BROKEN, REFUSED, ILLEGAL, NEVER, BIG, CALL_BACK, TOO_BIG, TOO_BIG_LATER = range(1, 11)
FOREVER_S = 30.0


def echo(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return command.respond(ext=command.ext_fields, body=command.body)


async def later(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    await asyncio.sleep(0)
    return command.respond(body=b"later")


def broken(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    raise RuntimeError("a bug")


def refused(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    raise ResponseError(ResponseCode.NO_PERMISSION, "not you")


def illegal(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    raise InvalidMessage("topic '': too short")


def never(connection: Connection, command: RemotingCommand) -> None:
    return None


def big(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return command.respond(body=bytes(1 << 20))


def too_big(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return command.respond(body=bytes(17 << 20))


async def too_big_later(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return too_big(connection, command)


HANDLERS: dict[int, Handler] = {
    ECHO: echo,
    LATER: later,
    BROKEN: broken,
    REFUSED: refused,
    ILLEGAL: illegal,
    NEVER: never,
    BIG: big,
    TOO_BIG: too_big,
    TOO_BIG_LATER: too_big_later,
}


@asynccontextmanager
async def serving(
    handlers: dict[int, Handler] | None = None, limits: ConnectionLimits | None = None, max_connections: int = 100
) -> AsyncIterator[RemotingServer]:
    server = RemotingServer(handlers or HANDLERS, limits=limits, max_connections=max_connections)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def client() -> AsyncIterator[RemotingClient]:
    client = RemotingClient()
    yield client
    await client.close()


def address(server: RemotingServer) -> str:
    return f"127.0.0.1:{server.port}"


def request(code: int, body: bytes = b"", *, opaque: int = 1, is_oneway: bool = False) -> bytes:
    command = RemotingCommand.request(code, body=body)
    command.opaque, command.flag = opaque, FLAG_ONEWAY if is_oneway else 0
    return encode(command)


async def read_commands(reader: asyncio.StreamReader, count: int) -> list[RemotingCommand]:
    decoder, commands = FrameDecoder(), list[RemotingCommand]()
    while len(commands) < count:
        data = await asyncio.wait_for(reader.read(1 << 16), 5)
        assert data, f"closed after {len(commands)} of {count} commands"
        commands += decoder.feed(data)
    return commands


async def is_closed_by_peer(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionResetError:
        return True


class TestAnswers:
    @pytest.mark.parametrize("code", [TOO_BIG, TOO_BIG_LATER])
    async def test_no_frame_can_carry_are_refused_and_the_connection_goes_on(self, client: RemotingClient, code: int):
        async with serving() as server:
            answer = await client.invoke(address(server), RemotingCommand.request(code))
            after = await client.invoke(address(server), RemotingCommand.request(ECHO, body=b"still there"))

            assert (answer.code, len(server.connections)) == (ResponseCode.SYSTEM_ERROR, 1)
            assert "exceeds" in str(answer.remark)
            assert after.body == b"still there"

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            (ECHO, (0, None)),
            (LATER, (0, None)),
            (REFUSED, (ResponseCode.NO_PERMISSION, "not you")),
            (ILLEGAL, (ResponseCode.MESSAGE_ILLEGAL, "topic '': too short")),
            (BROKEN, (ResponseCode.SYSTEM_ERROR, "RuntimeError: a bug")),
            (99, (ResponseCode.REQUEST_CODE_NOT_SUPPORTED, "request code 99 is not supported")),
        ],
    )
    async def test_say_what_the_handler_says(self, client, caplog, code, expected):
        async with serving() as server:
            response = await client.invoke(address(server), RemotingCommand.request(code))

        assert (response.code, response.remark) == expected

    async def test_a_surprise_is_logged_once_and_a_refusal_not(self, client, caplog):
        async with serving() as server:
            for code in (BROKEN, REFUSED, ILLEGAL, 99):
                await client.invoke(address(server), RemotingCommand.request(code))

        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    async def test_carry_fields_and_body_in_the_request_s_header_form(self):
        async with serving() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for is_binary in (True, False):
                command = RemotingCommand.request(ECHO, {"k": "v"}, b"body")
                command.is_binary, command.opaque = is_binary, 5
                writer.write(encode(command))

                (response,) = await read_commands(reader, 1)

                assert (response.is_binary, response.opaque, response.body) == (is_binary, 5, b"body")
                assert response.ext_fields == {"k": "v"}
            writer.close()

    async def test_never_go_to_one_way_requests(self):
        async with serving() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for code in (ECHO, LATER, BROKEN, REFUSED, 99):
                writer.write(request(code, opaque=code, is_oneway=True))
            writer.write(request(LATER, opaque=1000))

            (response,) = await read_commands(reader, 1)

            assert response.opaque == 1000
            writer.close()

    async def test_to_many_requests_find_those_who_wait(self, client):
        async with serving() as server:
            bodies = [str(number).encode() for number in range(500)]

            responses = await asyncio.gather(
                *(client.invoke(address(server), RemotingCommand.request(ECHO, body=body)) for body in bodies)
            )

        assert [response.body for response in responses] == bodies

    async def test_of_one_turn_travel_in_one_write(self):
        writes: list[int] = []

        class CountingTransport(asyncio.Transport):
            def write(self, data):
                writes.append(len(FrameDecoder().feed(bytes(data))))

            def get_write_buffer_size(self):
                return 0

            def set_write_buffer_limits(self, high=None, low=None):
                pass

        connection = Connection(HANDLERS)
        connection.connection_made(CountingTransport())
        connection.data_received(b"".join(request(ECHO, opaque=opaque) for opaque in range(10)))
        connection.data_received(request(ECHO, opaque=11))
        await asyncio.sleep(0)

        assert writes == [11]


class TestServerRequests:
    async def test_reach_the_client_s_handlers_on_the_same_connection(self):
        async def call_back(connection: Connection, command: RemotingCommand) -> RemotingCommand:
            answer = await connection.invoke(RemotingCommand.request(ECHO, body=b"from the server"))
            return command.respond(body=answer.body)

        client = RemotingClient({ECHO: echo})
        async with serving({CALL_BACK: call_back}) as server:
            response = await client.invoke(address(server), RemotingCommand.request(CALL_BACK))
        await client.close()

        assert response.body == b"from the server"

    async def test_use_json_until_the_peer_has_spoken_binary(self):
        asked: list[Connection] = []

        def remember(connection: Connection, command: RemotingCommand) -> RemotingCommand:
            asked.append(connection)
            return command.respond()

        async with serving({ECHO: remember}) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            forms = []
            for is_binary in (False, True):
                command = RemotingCommand.request(ECHO)
                command.is_binary = is_binary
                writer.write(encode(command))
                await read_commands(reader, 1)
                asked[-1].send_oneway(RemotingCommand.request(40, {"consumerGroup": "g"}))
                (notification,) = await read_commands(reader, 1)
                forms.append((notification.is_binary, notification.is_oneway, notification.is_response))
            writer.close()

        assert forms == [(False, True, False), (True, True, False)]


class TestFailures:
    async def test_no_answer_in_time_keeps_the_connection(self, client):
        async with serving() as server:
            with pytest.raises(RequestTimeout):
                await client.invoke(address(server), RemotingCommand.request(NEVER), timeout_s=0.02)
            connection = await client.connection(address(server))
            response = await connection.invoke(RemotingCommand.request(ECHO))

        assert response.code == 0

    async def test_an_earlier_deadline_is_not_held_up_by_a_later_one(self, client):
        async with serving() as server:
            patient = asyncio.ensure_future(
                client.invoke(address(server), RemotingCommand.request(NEVER), timeout_s=FOREVER_S)
            )
            with pytest.raises(RequestTimeout):
                await client.invoke(address(server), RemotingCommand.request(NEVER), timeout_s=0.02)

            assert not patient.done()
            patient.cancel()

    async def test_a_server_that_stops_fails_what_is_waiting(self, client):
        async with serving() as server:
            waiting = asyncio.ensure_future(client.invoke(address(server), RemotingCommand.request(NEVER)))
            await client.invoke(address(server), RemotingCommand.request(ECHO))

        with pytest.raises(ConnectionLost):
            await waiting

    async def test_nobody_listens(self, client):
        async with serving() as server:
            nobody = address(server)

        with pytest.raises(ConnectionLost, match=nobody):
            await client.invoke(nobody, RemotingCommand.request(ECHO))

    @pytest.mark.parametrize("nonsense", ["", "here", "127.0.0.1:", "127.0.0.1:x", ":::"])
    async def test_an_address_that_is_none(self, client, nonsense):
        with pytest.raises(ConnectionLost):
            await client.invoke(nonsense, RemotingCommand.request(ECHO))

    async def test_the_client_comes_back_after_the_server_did(self, client):
        async with serving() as server:
            await client.invoke(address(server), RemotingCommand.request(ECHO))
            port = server.port
        again = RemotingServer(HANDLERS)
        await again.start("127.0.0.1", port)

        response = await client.invoke(f"127.0.0.1:{port}", RemotingCommand.request(ECHO))

        assert response.code == 0
        await again.stop()

    async def test_close_listeners_hear_of_it_once(self, client):
        heard: list[Connection] = []
        async with serving() as server:
            connection = await client.connection(address(server))
            connection.add_close_listener(heard.append)
        with pytest.raises(ConnectionLost):
            await connection.invoke(RemotingCommand.request(ECHO))

        assert heard == [connection]
        connection.add_close_listener(heard.append)
        assert heard == [connection, connection]


class TestBadPeers:
    @pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\xff" * 64])
    async def test_garbage_closes_its_connection_and_no_other(self, client, garbage):
        async with serving() as server:
            await client.invoke(address(server), RemotingCommand.request(ECHO))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)

            assert await is_closed_by_peer(reader)
            assert (await client.invoke(address(server), RemotingCommand.request(ECHO))).code == 0
            writer.close()

    async def test_a_header_that_does_not_come_to_an_end_is_cut_off(self):
        async with serving(limits=ConnectionLimits(header_timeout_s=5)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(ECHO)[:20])
            connection = await accepted(server, waiting=True)

            connection.check_liveness(asyncio.get_running_loop().time() + 4.9)
            assert not connection.is_closed
            connection.check_liveness(asyncio.get_running_loop().time() + 5.1)

            assert await is_closed_by_peer(reader)
            writer.close()

    async def test_a_body_gets_more_time_than_a_header(self):
        async with serving(limits=ConnectionLimits(header_timeout_s=5, frame_timeout_s=50)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(ECHO, b"body")[:-1])
            connection = await accepted(server, waiting=True)

            connection.check_liveness(asyncio.get_running_loop().time() + 49)
            assert not connection.is_closed
            connection.check_liveness(asyncio.get_running_loop().time() + 51)

            assert await is_closed_by_peer(reader)
            writer.close()

    async def test_silence_ends_a_connection(self):
        async with serving(limits=ConnectionLimits(idle_timeout_s=120)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request(ECHO))
            await read_commands(reader, 1)
            connection = await accepted(server)

            connection.check_liveness(asyncio.get_running_loop().time() + 119)
            assert not connection.is_closed
            connection.check_liveness(asyncio.get_running_loop().time() + 121)

            assert await is_closed_by_peer(reader)
            writer.close()

    async def test_more_connections_than_allowed_are_refused(self, client):
        async with serving(max_connections=1) as server:
            await client.invoke(address(server), RemotingCommand.request(ECHO))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

            assert await is_closed_by_peer(reader)
            assert len(server.connections) == 1
            writer.close()

    async def test_a_peer_that_does_not_read_is_not_read_from(self):
        handled = 0

        def count(connection: Connection, command: RemotingCommand) -> RemotingCommand:
            nonlocal handled
            handled += 1
            return command.respond(body=bytes(1 << 20))

        async with serving({BIG: count}, ConnectionLimits(unsent_bytes_high=2 << 20)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
            writer.write(b"".join(request(BIG, opaque=opaque) for opaque in range(200)))
            connection = await accepted(server)
            for _ in range(200):
                await asyncio.sleep(0)

            assert 0 < handled < 50
            commands = await read_commands(reader, 200)

            assert [command.opaque for command in commands] == list(range(200))
            assert not connection.is_closed
            writer.close()

    async def test_both_ends_full_of_data_do_not_wait_for_each_other(self, client):
        body = bytes(256 << 10)
        async with serving(limits=ConnectionLimits(unsent_bytes_high=1 << 20)) as server:
            echoes = await asyncio.gather(
                *(client.invoke(address(server), RemotingCommand.request(ECHO, body=body), 10) for _ in range(200))
            )

        assert [len(response.body) for response in echoes] == [len(body)] * 200

    async def test_a_peer_that_never_reads_what_others_send_it_is_given_up(self):
        async with serving({}, ConnectionLimits(unsent_bytes_max=8 << 20)) as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 10)
            connection = await accepted(server)
            for _ in range(32):
                connection.send_oneway(RemotingCommand.request(326, body=bytes(1 << 20)))
                await asyncio.sleep(0)

            assert connection.is_closed
            writer.close()


class TestTurns:
    async def test_of_a_flood_end_so_that_the_others_get_theirs(self):
        handled: list[bytes] = []

        def note(connection: Connection, command: RemotingCommand) -> None:
            handled.append(command.body)

        limits = ConnectionLimits(requests_per_turn=10)
        async with serving({ECHO: note}, limits) as server:
            writers = [(await asyncio.open_connection("127.0.0.1", server.port))[1] for _ in range(2)]
            # Both are in the server's socket buffers before it reads for the first time.
            writers[0].write(request(ECHO, b"flood", is_oneway=True) * 1000)
            writers[1].write(request(ECHO, b"other", is_oneway=True))
            async with asyncio.timeout(5):
                while len(handled) < 1001:  # noqa: ASYNC110 - nobody announces it
                    await asyncio.sleep(0)
            for writer in writers:
                writer.close()

        assert handled.index(b"other") <= 20
        assert handled.count(b"flood") == 1000


class TestServer:
    async def test_tells_of_connections_that_come_and_go(self):
        events: list[str] = []
        server = RemotingServer(
            HANDLERS, on_connect=lambda _: events.append("came"), on_close=lambda _: events.append("left")
        )
        bound = await server.start("127.0.0.1", 0)
        client = RemotingClient()
        connection = await client.connection(str(bound))
        await connection.invoke(RemotingCommand.request(ECHO))
        assert connection.remote == Host("127.0.0.1", server.port)
        await client.close()
        await server.stop()

        assert events == ["came", "left"]

    async def test_a_taken_port_is_an_error_that_names_it(self):
        async with serving() as server:
            with pytest.raises(OSError, match=str(server.port)):
                await RemotingServer(HANDLERS).start("127.0.0.1", server.port)

    async def test_sends_what_is_waiting_before_it_stops(self):
        server = RemotingServer(HANDLERS)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request(BIG))
        await accepted(server)
        stopping = asyncio.ensure_future(server.stop())

        (response,) = await read_commands(reader, 1)

        assert len(response.body) == 1 << 20
        writer.close()
        await stopping


async def accepted(server: RemotingServer, *, waiting: bool = False) -> Connection:
    """The server's end of the only connection, once it was opened and its first bytes were read."""
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(0)
            for connection in server.connections:
                if not waiting or connection._decoder.wanted_bytes:
                    return connection
