"""Promise B13: a group that stands still costs the broker no memory, and the others neither time nor lag.

Two brokers with the same backlog, of which one has a group that stands still: what its neighbours notice is the
difference, measured in turn, as the machine has other work as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mq.client import Admin, ConsumeFromWhere, Producer, PushConsumer
from mq.client.tests.conftest import FAST, Inbox
from mq.message import Message, ReceivedMessage
from mq.testing import BrokerProcess
from mq.tests.promises.in_turn import least_in_turn
from mq.tests.promises.process import peak_mib

pytestmark = [
    pytest.mark.promise,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

BATCH = 100
PROBES = 200
TOPIC = "order-events"
#: What the others may notice: next to nothing on an idle machine (1.02), while here another test shares the two cores.
RATIO = 2.0


def consumer(broker: BrokerProcess, group: str, handler: Any) -> PushConsumer:
    made = PushConsumer(
        group, namesrv=broker.namesrv, handler=handler, settings=FAST, from_where=ConsumeFromWhere.FIRST_OFFSET
    )
    made.subscribe(TOPIC)
    return made


class Counter:
    """A handler that counts, as millions of messages would not fit."""

    def __init__(self) -> None:
        self._count = 0
        self._arrived = asyncio.Event()

    async def __call__(self, messages: list[ReceivedMessage]) -> None:
        self._count += len(messages)
        self._arrived.set()

    async def wait_for(self, count: int, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while self._count < count:
                self._arrived.clear()
                await self._arrived.wait()


class Side:
    """A broker, a producer, and a group that keeps up."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self.inbox = Counter()
        self.sent = 0

    async def fill(self, count: int) -> float:
        """Send a backlog; how long after its last message the group has it all, in seconds."""
        for _ in range(count // BATCH // 8):
            batches = (self._producer.send_batch([Message(TOPIC, bytes(100))] * BATCH) for _ in range(8))
            await asyncio.gather(*batches)
            self.sent += 8 * BATCH
        began_s = time.perf_counter()
        await self.inbox.wait_for(self.sent, timeout_s=60)
        return time.perf_counter() - began_s

    async def p99_ms(self) -> float:
        """Of a send and of its arrival in the group: the longer of 99 in 100."""
        took_s = []
        for _ in range(PROBES):
            began_s = time.perf_counter()
            await self._producer.send(Message(TOPIC, b"probe"))
            self.sent += 1
            await self.inbox.wait_for(self.sent, timeout_s=20)
            took_s.append(time.perf_counter() - began_s)
        return sorted(took_s)[PROBES * 99 // 100] * 1000


@contextlib.asynccontextmanager
async def side(broker: BrokerProcess) -> AsyncIterator[Side]:
    async with Admin(namesrv=broker.namesrv) as admin:
        await admin.create_topic(TOPIC, queue_count=8)
    async with Producer("senders", namesrv=broker.namesrv) as producer:
        made = Side(producer)
        async with consumer(broker, "prompt", made.inbox):
            yield made


@pytest.mark.parametrize(
    "backlog", [100_000, pytest.param(5_000_000, marks=[pytest.mark.nightly, pytest.mark.timeout(1800)])]
)
async def test_costs_the_others_nothing(figure: Callable[[str], None], tmp_path: Path, backlog: int):
    stalled = Inbox()
    may_go_on = asyncio.Event()

    async def stand_still(messages: list[ReceivedMessage]) -> None:
        stalled.take(messages)
        await may_go_on.wait()

    with (
        BrokerProcess(tmp_path / "with", mappedFileSizeCommitLog=64 << 20) as with_it,
        BrokerProcess(tmp_path / "without", mappedFileSizeCommitLog=64 << 20) as without,
    ):
        slow = consumer(with_it, "stalled", stand_still)
        async with side(with_it) as beside, side(without) as alone:
            await slow.start()
            lag_s = await beside.fill(backlog)
            lag_alone_s = await alone.fill(backlog)
            alone_ms, beside_ms = await least_in_turn(alone.p99_ms, beside.p99_ms, ratio=RATIO)
            rss_mib = peak_mib(with_it.pid)
            await slow.stop(grace_s=0.0)

    assert len(stalled.messages) < 1000, "a stalled group is handed no more than its handlers hold"
    assert rss_mib < 512
    assert beside_ms <= RATIO * alone_ms, f"{beside_ms:.1f} ms beside it, {alone_ms:.1f} ms without"
    assert lag_s < 20
    figure(
        f"B13: {backlog} behind: broker {rss_mib:.0f} MiB at most; in another group p99 from send to handler "
        f"{beside_ms:.1f} ms ({alone_ms:.1f} ms without it), up to date {lag_s:.1f} s after the backlog "
        f"({lag_alone_s:.1f} s without it)"
    )
