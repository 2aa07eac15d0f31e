"""Promise B13: a group that stands still costs the broker no memory, and the others neither time nor lag."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.client import Admin, ConsumeFromWhere, Producer, PushConsumer
from mq.client.tests.conftest import FAST, Inbox
from mq.message import Message, ReceivedMessage
from mq.testing import BrokerProcess
from mq.tests.promises.process import peak_mib

pytestmark = [
    pytest.mark.promise,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

BACKLOG = 100_000
BATCH = 100
PROBES = 400
TOPIC = "order-events"


async def p99_ms(producer: Producer) -> float:
    took_s = []
    for _ in range(PROBES):
        began_s = time.perf_counter()
        await producer.send(Message(TOPIC, b"probe"))
        took_s.append(time.perf_counter() - began_s)
    return sorted(took_s)[PROBES * 99 // 100] * 1000


async def test_costs_the_others_nothing(figure: Callable[[str], None], tmp_path: Path):
    stalled, prompt = Inbox(), Inbox()
    may_go_on = asyncio.Event()

    async def stand_still(messages: list[ReceivedMessage]) -> None:
        stalled.take(messages)
        await may_go_on.wait()

    def consumer(group: str, handler: Callable[..., object]) -> PushConsumer:
        made = PushConsumer(
            group,
            namesrv=broker.namesrv,
            handler=handler,  # type: ignore[arg-type]
            settings=FAST,
            from_where=ConsumeFromWhere.FIRST_OFFSET,
        )
        made.subscribe(TOPIC)
        return made

    with BrokerProcess(tmp_path / "store", mappedFileSizeCommitLog=64 << 20) as broker:
        async with Admin(namesrv=broker.namesrv) as admin:
            await admin.create_topic(TOPIC, queue_count=8)
        async with Producer("senders", namesrv=broker.namesrv) as producer, consumer("prompt", prompt):
            before_ms = await p99_ms(producer)
            slow = consumer("stalled", stand_still)
            await slow.start()
            for _ in range(BACKLOG // BATCH // 8):
                await asyncio.gather(*(producer.send_batch([Message(TOPIC, bytes(100))] * BATCH) for _ in range(8)))
            sent = PROBES + BACKLOG // BATCH // 8 * 8 * BATCH
            began_s = time.perf_counter()
            await prompt.wait_for(sent, timeout_s=40)
            lag_s = time.perf_counter() - began_s
            beside_ms = await p99_ms(producer)
            rss_mib = peak_mib(broker.pid)
            await slow.stop(grace_s=0.0)

    assert len(stalled.messages) < 1000, "a stalled group is handed no more than its handlers hold"
    assert rss_mib < 512
    # 1.2 times is the promise; the p99 of a few hundred sends on a busy machine cannot tell that apart.
    assert beside_ms < 2 * before_ms + 20
    assert lag_s < 20
    figure(
        f"B13: {sent} behind: broker {rss_mib:.0f} MiB at most, p99 of a send {before_ms:.1f} ms before and "
        f"{beside_ms:.1f} ms beside it, the other group up to date {lag_s:.1f} s after the last of the backlog"
    )
