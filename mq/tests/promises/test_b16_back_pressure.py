"""Promise B16: a broker that is asked for ten times what it can do goes on doing what it can, and says no in time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.broker.tests.wire import until
from mq.client import Admin
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import SendMessageRequestHeaderV2
from mq.testing import BrokerProcess
from mq.tests.promises.process import peak_mib

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

CONNECTION_COUNT = 16
#: Sends under way on each connection: enough to keep the broker at its limit.
ENOUGH = 32
ROUND_S = 1.5
GROWTH_MIB_MAX = 100
TOPIC = "order-events"


class Flood(asyncio.Protocol):
    """Keeps so many sends under way, whatever the answers are; the cheapest client there can be."""

    def __init__(self, under_way: int) -> None:
        header = SendMessageRequestHeaderV2("senders", TOPIC, "TBW102", 4, -1, 0, 1_700_000_000_000, 0)
        request = RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, b"x" * 200)
        request.is_binary = True
        self._frame = encode(request)
        self._under_way = under_way
        self._decoder = FrameDecoder()
        self.answers: Counter[int] = Counter()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._frame * self._under_way)

    def data_received(self, data: bytes) -> None:
        answers = self._decoder.feed(data)
        self.answers.update(answer.code for answer in answers)
        self.transport.write(self._frame * len(answers))


async def flood(address: str, under_way: int) -> Counter[int]:
    """Answers by code, per second."""
    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    floods = [
        (await loop.create_connection(lambda: Flood(under_way), host, int(port)))[1] for _ in range(CONNECTION_COUNT)
    ]
    await until(lambda: all(one.answers for one in floods), 20.0)
    before = sum((one.answers for one in floods), Counter[int]())
    began_s = time.perf_counter()
    await asyncio.sleep(ROUND_S)
    answers = sum((one.answers for one in floods), Counter[int]())
    took_s = time.perf_counter() - began_s
    for one in floods:
        one.transport.abort()
    return Counter({code: int((answers[code] - before[code]) / took_s) for code in answers})


async def test_ten_times_too_much_leaves_seven_tenths_of_the_peak(figure: Callable[[str], None], tmp_path: Path):
    with BrokerProcess(tmp_path / "store") as broker:
        async with Admin(namesrv=broker.namesrv) as admin:
            await admin.create_topic(TOPIC, queue_count=4)
        began_mib = peak_mib(broker.pid)
        rounds = []
        # In turns, so that whatever else the machine does strikes both.
        for under_way in (ENOUGH, 10 * ENOUGH) * 3:
            rounds.append(await flood(broker.broker_address, under_way))
        grown_mib = peak_mib(broker.pid) - began_mib

    peak = max(answers[ResponseCode.SUCCESS] for answers in rounds[::2])
    overload = max(rounds[1::2], key=lambda answers: answers[ResponseCode.SUCCESS])
    goodput, refused = overload[ResponseCode.SUCCESS], overload[ResponseCode.SYSTEM_BUSY]
    assert set().union(*rounds) <= {ResponseCode.SUCCESS, ResponseCode.SYSTEM_BUSY}
    assert goodput > 0.7 * peak, f"{peak} sends per second, and {goodput} under ten times the load"
    assert grown_mib < GROWTH_MIB_MAX
    figure(
        f"B16: peak {peak}/s, with 10 times as much {goodput}/s ({goodput / peak:.0%}) and {refused}/s refused as "
        f"busy, {grown_mib:+.0f} MiB"
    )
