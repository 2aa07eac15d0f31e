"""Promise B8: consumers killed or stopped in their tracks, twenty times: whatever was sent is handled all the same."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.client import Admin, Producer
from mq.client.tests.conftest import FAST
from mq.client.tests.flow import KEYS, ConsumerProcesses, Seen, send_flow
from mq.testing import standalone

pytestmark = [pytest.mark.promise, pytest.mark.timeout(150)]

FAULTS = 20
CONSUMER_COUNT = 4
TOPIC = "order-events"
#: Two rebalance periods (20 s each), as these consumers keep them.
HEALED_S = 2 * FAST.rebalance_s + 38


async def test_leave_no_message_unhandled(chance: random.Random, figure: Callable[[str], None], tmp_path: Path):
    seen = Seen()
    per_fault = 6
    count = (FAULTS + 2) * per_fault
    async with standalone(tmp_path / "store") as mq:
        async with Admin(namesrv=mq.namesrv) as admin:
            await admin.create_topic(TOPIC, queue_count=8)
        consumers = ConsumerProcesses(seen, mq.namesrv, "orders", TOPIC)
        try:
            running = [await consumers.start() for _ in range(CONSUMER_COUNT)]
            async with Producer("senders", namesrv=mq.namesrv) as producer:
                sending = asyncio.create_task(send_flow(producer, TOPIC, count, seen))
                for fault in range(FAULTS):
                    victim = running.pop(chance.randrange(CONSUMER_COUNT))
                    if fault % 2:
                        await consumers.end(victim, signal.SIGKILL)
                        running.append(await consumers.start())
                    else:
                        os.kill(victim.pid, signal.SIGSTOP)
                        await asyncio.sleep(chance.uniform(0.1, 0.5))  # the fault itself: how long it stands still
                        os.kill(victim.pid, signal.SIGCONT)
                        running.append(victim)
                    await seen.wait_for((fault + 1) * per_fault)
                healed_s = time.monotonic()
                await sending
                await seen.wait_for(count)
                took_s = time.monotonic() - healed_s
        finally:
            consumers.close()

    seen.assert_complete(count)
    handled = sum(len(numbers) for numbers in seen.numbers.values())
    assert took_s < HEALED_S
    figure(
        f"B8: {FAULTS} kills and stops of 1 of {CONSUMER_COUNT} consumers, {count * len(KEYS)} messages, 0 unhandled "
        f"{took_s:.1f} s after the last, {handled - count * len(KEYS)} twice"
    )
