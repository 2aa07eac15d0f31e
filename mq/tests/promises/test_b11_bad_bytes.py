"""Promise B11: damaged frames, by the million to the decoder and by ten thousands to a broker, harm nobody."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mq.errors import RemoteProtocolError
from mq.remoting import tests as remoting_tests
from mq.remoting.bodies import ConsumerData, HeartbeatData, SubscriptionData
from mq.remoting.client import RemotingClient
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import PullMessageRequestHeader, SendMessageRequestHeaderV2
from mq.remoting.tests import golden
from mq.testing import BrokerProcess
from mq.tests.promises.process import resident_mib

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc, and 127.0.0.2 is an address"),
]

FRAMES = golden.frames(Path(remoting_tests.__file__).parent / "scripts" / "frames.txt")
GROWTH_MIB_MAX = 50
HANG_S = 1.0
#: Connections that have not been read to their end yet.
OPEN_AT_ONCE = 100
BLOCK = 4096


def damaged(frames: Sequence[bytes], chance: random.Random) -> Iterator[bytes]:
    """For ever: a frame with a byte changed, in half of them also a stretch of up to 16 bytes replaced or taken out.

    From blocks of noise, because asking `chance` for each choice would take longer than the decoder does.
    """
    while True:
        noise = chance.randbytes(4 * BLOCK)
        for at in range(0, len(noise), 4):
            pick, where, value, kind = noise[at : at + 4]
            frame = frames[pick % len(frames)]
            where = where * len(frame) >> 8
            frame = frame[:where] + bytes((value,)) + frame[where + 1 :]
            if kind & 1:
                where, length = kind * len(frame) >> 8, value & 15
                frame = frame[:where] + noise[at : at + (length if kind & 2 else 0)] + frame[where + length :]
            yield frame


def test_two_million_damaged_frames_give_commands_or_a_protocol_error(
    chance: random.Random, figure: Callable[[str], None]
):
    count = 2_000_000
    outcomes = {"commands": 0, "refused": 0, "waiting": 0}
    longest_s = 0.0
    decoder = FrameDecoder()
    before_mib = resident_mib()
    frames = damaged(FRAMES, chance)

    for _ in range(0, count, BLOCK):
        began_s = time.perf_counter()
        for _ in range(BLOCK):
            try:
                for command in decoder.feed(next(frames)):
                    assert isinstance(command.ext_fields, dict)
                    outcomes["commands"] += 1
                if not decoder.wanted_bytes:
                    continue
                outcomes["waiting"] += 1
            except RemoteProtocolError:
                outcomes["refused"] += 1
            decoder = FrameDecoder()
        longest_s = max(longest_s, time.perf_counter() - began_s)

    grown_mib = resident_mib() - before_mib
    assert min(outcomes.values()) > count // 100, outcomes
    assert longest_s < HANG_S
    assert grown_mib < GROWTH_MIB_MAX
    figure(f"B11a: {count} damaged frames {outcomes}, slowest {BLOCK} in {longest_s:.2f} s, {grown_mib:+.1f} MiB")


def send_request(body: bytes, *, is_binary: bool) -> RemotingCommand:
    header = SendMessageRequestHeaderV2("senders", "BadBytes", "TBW102", 4, 0, 0, 1_700_000_000_000, 0)
    command = RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, body)
    command.is_binary = is_binary
    return command


def requests() -> list[bytes]:
    """What ordinary clients say, and what RocketMQ's classes wrote."""
    subscription = SubscriptionData(topic="BadBytes", sub_string="A || B", sub_version=1)
    heartbeat = HeartbeatData(
        client_id="client-1",
        consumer_data_set=[ConsumerData(group_name="orders", subscription_data_set=[subscription])],
    )
    pull = PullMessageRequestHeader("orders", "BadBytes", 0, 0, 32, 4, 0, 0, 1, "*")
    commands = [send_request(b"hello", is_binary=is_binary) for is_binary in (False, True)]
    commands.append(RemotingCommand.request(RequestCode.PULL_MESSAGE, pull))
    commands.append(RemotingCommand.request(RequestCode.HEART_BEAT, body=heartbeat.to_json()))
    return [encode(command) for command in commands] + FRAMES


def test_fifty_thousand_through_a_socket_leave_the_next_client_alone(
    chance: random.Random, figure: Callable[[str], None], tmp_path: Path
):
    count = 50_000
    with BrokerProcess(tmp_path / "store") as broker:
        host, port = broker.broker_address.split(":")
        open_sockets: deque[socket.socket] = deque()
        answered = 0
        began_mib = resident_mib(broker.pid)
        for number, frame in zip(range(count), damaged(requests(), chance), strict=False):
            # From several addresses, because closed connections keep their ports for a minute.
            peer = socket.create_connection((host, int(port)), HANG_S, (f"127.0.0.{2 + number % 8}", 0))
            open_sockets.append(peer)
            leave(peer, frame)
            if len(open_sockets) == OPEN_AT_ONCE:
                answered += until_closed(open_sockets.popleft())
        answered += sum(until_closed(peer) for peer in open_sockets)
        grown_mib = resident_mib(broker.pid) - began_mib
        assert_serves(broker)
        log = (tmp_path / "store.log").read_text()

    assert "Traceback" not in log, log[-3000:]
    assert answered > count // 20
    assert grown_mib < GROWTH_MIB_MAX
    figure(f"B11b: {count} damaged frames to a broker, {answered} answered, none hung, {grown_mib:+.1f} MiB")


def leave(peer: socket.socket, frame: bytes) -> None:
    with contextlib.suppress(OSError):  # closed already: it did not like the beginning
        peer.sendall(frame)
        peer.shutdown(socket.SHUT_WR)


def until_closed(peer: socket.socket) -> int:
    """1 when something was answered. Raises: TimeoutError: the broker neither answers nor closes."""
    with peer:
        received = b""
        try:
            while chunk := peer.recv(65_536):
                received = chunk
        except ConnectionError:
            pass
        return int(bool(received))


def assert_serves(broker: BrokerProcess) -> None:
    async def send() -> RemotingCommand:
        client = RemotingClient()
        response = await client.invoke(broker.broker_address, send_request(b"still there?", is_binary=False))
        await client.close()
        return response

    response = asyncio.run(send())
    assert (response.code, response.remark) == (0, None)
