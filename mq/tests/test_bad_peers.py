"""What nobody should send to a real broker: it closes those connections and serves the others, its memory flat."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mq.remoting.client import RemotingClient
from mq.remoting.codec import MAX_FRAME_BYTES, encode
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import SendMessageRequestHeaderV2
from mq.testing import BrokerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

CONNECTION_COUNT = 300
GROWTH_KIB_MAX = 4096


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("bad-peers") / "store") as broker:
        yield broker


def private_kib(broker: BrokerProcess) -> int:
    for line in Path(f"/proc/{broker.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no RssAnon")


def send_request(chance: random.Random) -> bytes:
    header = SendMessageRequestHeaderV2("pg", "BadPeers", "TBW102", 4, 0, 0, 1_700_000_000_000, 0)
    command = RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, chance.randbytes(100))
    command.is_binary = chance.random() < 0.5
    return encode(command)


def garbage(chance: random.Random) -> bytes:
    return b"\xff" + chance.randbytes(4096)


def http(chance: random.Random) -> bytes:
    return b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"


def oversized(chance: random.Random) -> bytes:
    return struct.pack(">II", chance.randrange(MAX_FRAME_BYTES, 1 << 32), 10) + bytes(4096)


def truncated(chance: random.Random) -> bytes:
    frame = send_request(chance)
    return frame[: chance.randrange(1, len(frame))]


def announced_but_not_sent(chance: random.Random) -> bytes:
    return struct.pack(">II", MAX_FRAME_BYTES - 4, 50) + bytes(1000)


def damaged(chance: random.Random) -> bytes:
    frame = bytearray(send_request(chance))
    for _ in range(8):
        frame[chance.randrange(8, len(frame))] = chance.randrange(256)
    return bytes(frame)


def nested(chance: random.Random) -> bytes:
    header = b'{"code":310,"extFields":' + b'{"a":' * 20_000 + b"}" * 20_000 + b"}"
    return struct.pack(">II", len(header) + 4, len(header)) + header


async def assert_serves(broker: BrokerProcess, chance: random.Random) -> None:
    client = RemotingClient()
    header = SendMessageRequestHeaderV2("pg", "BadPeers", "TBW102", 4, 0, 0, 1_700_000_000_000, 0)
    command = RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, b"still there?")
    response = await client.invoke(broker.broker_address, command)
    assert (response.code, response.remark) == (0, None)
    await client.close()


async def attack(broker: BrokerProcess, payload: Callable[[random.Random], bytes], chance: random.Random) -> None:
    """Many connections at once, each leaves its bytes and waits a moment for whatever comes back."""

    async def one(data: bytes) -> None:
        host, port = broker.broker_address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(0.2):
                while await reader.read(65_536):
                    pass
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.transport.abort()

    await asyncio.gather(*(one(payload(chance)) for _ in range(CONNECTION_COUNT)))


@pytest.mark.parametrize("payload", [garbage, http, oversized, truncated, announced_but_not_sent, damaged, nested])
async def test_memory_stays_flat_and_others_are_served(broker, payload):
    seed = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    # The first waves warm up buffers and caches that stay; what counts is that no further wave adds anything.
    for _ in range(2):
        await attack(broker, payload, chance)
    await assert_serves(broker, chance)
    before_kib = private_kib(broker)

    for _ in range(3):
        await attack(broker, payload, chance)

    await assert_serves(broker, chance)
    assert private_kib(broker) - before_kib < GROWTH_KIB_MAX


async def test_five_hundred_slow_peers_do_not_hold_up_the_others(broker):
    chance = random.Random(7)
    host, port = broker.broker_address.split(":")
    slow = [await asyncio.open_connection(host, int(port)) for _ in range(500)]
    for _, writer in slow:
        writer.write(send_request(chance)[:30])

    async with asyncio.timeout(5):
        for _ in range(20):
            await assert_serves(broker, chance)

    for _, writer in slow:
        writer.transport.abort()
