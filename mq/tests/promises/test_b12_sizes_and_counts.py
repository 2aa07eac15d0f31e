"""Promise B12: what is too long, too many, too slow or too well compressed is refused, and costs next to nothing.

Lengths that lie, nested JSON and half frames are in `mq/tests/test_bad_peers.py`; these are the large ones.
"""

from __future__ import annotations

import asyncio
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator

import pytest

from mq.client import ConsumeFromWhere, Producer, PushConsumer
from mq.client.tests.conftest import FAST, Inbox
from mq.errors import RemoteProtocolError
from mq.message import Message, sys_flag
from mq.message.compression import inflate
from mq.remoting.client import RemotingClient
from mq.remoting.codec import MAX_FRAME_BYTES
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import ConnectionLimits
from mq.remoting.headers import SendMessageRequestHeaderV2
from mq.remoting.server import RemotingServer
from mq.testing import BrokerProcess
from mq.tests.promises.process import peak_mib, resident_mib

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

TOPIC = "order-events"


@pytest.fixture
def broker(tmp_path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "store") as broker:
        yield broker


async def send(broker: BrokerProcess, body: bytes, flags: int = 0) -> int:
    client = RemotingClient()
    header = SendMessageRequestHeaderV2("senders", TOPIC, "TBW102", 4, 0, flags, 1_700_000_000_000, 0)
    response = await client.invoke(
        broker.broker_address, RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, body), 5.0
    )
    await client.close()
    return response.code


async def is_closed(address: str, data: bytes, within_s: float) -> bool:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), within_s) == b""
    except ConnectionError:
        return True
    finally:
        writer.transport.abort()


async def test_lengths_that_lie_close_the_connection_at_once(broker: BrokerProcess, figure: Callable[[str], None]):
    lengths = [0, 1, 3, MAX_FRAME_BYTES - 3, 2**31 - 1, 2**31, 2**32 - 1]
    headers = [struct.pack(">II", length, 10) for length in lengths]
    headers.append(struct.pack(">II", 100, 97))  # the header longer than its frame

    for data in headers:
        assert await is_closed(broker.broker_address, data, 2.0), data
    assert await send(broker, b"still there?") == 0
    figure(f"B12: {len(headers)} lengths that lie, all closed at once")


@pytest.mark.parametrize("is_binary", [False, True], ids=["json", "binary"])
async def test_a_million_fields_are_refused_before_they_are_read(
    broker: BrokerProcess, figure: Callable[[str], None], is_binary: bool
):
    if is_binary:
        fields = b"\0\x01a\0\0\0\x01b" * 1_000_000
        header = struct.pack(">hbhiii", 310, 0, 479, 1, 0, 0) + struct.pack(">i", len(fields)) + fields
    else:
        fields = b",".join(b'"%d":"v"' % number for number in range(1_000_000))
        header = b'{"code":310,"extFields":{' + fields + b"}}"
    frame = struct.pack(">II", len(header) + 4, int(is_binary) << 24 | len(header)) + header
    assert len(frame) <= MAX_FRAME_BYTES
    before_mib = peak_mib(broker.pid)
    began_s = time.perf_counter()

    assert await is_closed(broker.broker_address, frame, 5.0)

    took_s = time.perf_counter() - began_s
    grown_mib = peak_mib(broker.pid) - before_mib
    assert await send(broker, b"still there?") == 0
    assert took_s < 1.0
    assert grown_mib < 16
    form = "binary" if is_binary else "JSON"
    figure(f"B12: a million fields in a {form} header: {took_s:.2f} s, {grown_mib:+.0f} MiB at the peak")


async def test_five_thousand_idle_sockets_hold_up_nobody(broker: BrokerProcess, figure: Callable[[str], None]):
    count = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    host, port = broker.broker_address.split(":")
    loop = asyncio.get_running_loop()
    before_mib = resident_mib(broker.pid)
    idle: list[asyncio.BaseTransport] = []
    try:
        for _ in range(count):
            idle.append((await loop.create_connection(asyncio.Protocol, host, int(port)))[0])
        began_s = time.perf_counter()
        for _ in range(20):
            assert await send(broker, b"still there?") == 0
        each_ms = (time.perf_counter() - began_s) / 20 * 1000
        grown_mib = resident_mib(broker.pid) - before_mib
    finally:
        for transport in idle:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert each_ms < 250
    assert grown_mib < 100
    figure(f"B12: {count} idle sockets: {grown_mib:+.0f} MiB, connecting and sending beside them {each_ms:.1f} ms")


async def test_a_header_that_comes_a_byte_at_a_time_is_not_waited_for(figure: Callable[[str], None]):
    """The limit is 10 s; here a shorter one, which a byte every 50 ms would never meet."""
    server = RemotingServer({}, limits=ConnectionLimits(header_timeout_s=0.5))
    assert ConnectionLimits().header_timeout_s <= 10
    await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    frame = struct.pack(">II", 1000, 900)
    began_s = time.perf_counter()
    sent = 0
    try:
        async with asyncio.timeout(10):
            while not reader.at_eof() and reader.exception() is None:
                writer.write((frame + bytes(100))[sent : sent + 1] or b"x")
                sent += 1
                await asyncio.sleep(0.05)
    except ConnectionError:
        pass
    took_s = time.perf_counter() - began_s
    writer.transport.abort()
    await server.stop()

    assert took_s < 0.5 + 2.0  # the server looks every second
    figure(f"B12: a byte every 50 ms, header limit 0.5 s: closed after {took_s:.1f} s")


async def test_a_bomb_does_not_go_off_in_the_client(broker: BrokerProcess, figure: Callable[[str], None]):
    """The broker stores bodies as they are; whoever inflates one must not get a gigabyte."""
    deflate = zlib.compressobj(9)
    bomb = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(100)) + deflate.flush()
    before_mib = peak_mib()
    with pytest.raises(RemoteProtocolError, match="exceeds"):
        inflate(bomb, sys_flag.COMPRESSED)
    grown_mib = peak_mib() - before_mib

    inbox = Inbox()
    assert await send(broker, bomb, sys_flag.COMPRESSED) == 0
    consumer = PushConsumer(
        "orders", namesrv=broker.namesrv, handler=inbox, settings=FAST, from_where=ConsumeFromWhere.FIRST_OFFSET
    )
    consumer.subscribe(TOPIC)
    async with consumer, Producer("senders", namesrv=broker.namesrv) as producer:
        await producer.send(Message(TOPIC, b"behind it"))
        await inbox.wait_until(lambda: b"behind it" in inbox.bodies)

    assert max(map(len, inbox.bodies)) <= len(bomb)
    assert grown_mib < 16
    figure(f"B12: {len(bomb)} bytes that would be 100 MiB: refused at {grown_mib:+.1f} MiB, the next message came")
