"""Promises B10 and T1: a hundred thousand timers over a kill and jumps of the clock: none lost, none early."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.broker.delay import TIMER_TOPIC
from mq.broker.tests.quiet import PRODUCER, START_MS, QuietBroker
from mq.broker.timer import TimerService
from mq.message import properties, record
from mq.message.record import RecordFields

pytestmark = pytest.mark.promise

COUNT = 100_000
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SECOND_MS = 1000
TOPIC = "order-timers"


def store_timers(quiet: QuietBroker, due_ms: list[int], first: int) -> None:
    """As a send with TIMER_DELIVER_MS leaves them; without a sync for each."""
    for number, moment_ms in enumerate(due_ms, first):
        asked = {"TIMER_OUT_MS": str(moment_ms), "REAL_TOPIC": TOPIC, "REAL_QID": "0"}
        text = properties.encode(asked)
        quiet.store.append(RecordFields(TIMER_TOPIC, 0, b"%d" % number, text, 0, 0, quiet.clock.now_ms(), PRODUCER))


async def work(service: TimerService) -> None:
    await service.round()
    while await service.round() == 0.0:
        pass


class Deliveries:
    """What came out since it was last asked, and how late each was."""

    def __init__(self, due_ms: list[int]) -> None:
        self._due_ms = due_ms
        self._offset = 0
        self.counts: Counter[int] = Counter()
        self.late_ms: list[int] = []

    def look(self, quiet: QuietBroker) -> None:
        entries = quiet.store.entries(TOPIC, 0, self._offset, COUNT * 2)
        for entry in entries:
            data = quiet.store.record_at(entry.commit_log_offset)
            assert data is not None
            message = record.decode(data)
            number = int(message.body)
            self.counts[number] += 1
            self.late_ms.append(message.store_timestamp_ms - self._due_ms[number])
        self._offset += len(entries)


async def opened(quiet: QuietBroker) -> TimerService:
    service = TimerService(quiet.broker)
    await service.open()
    return service


async def test_none_is_lost_or_early_over_kills_and_a_clock_that_jumps(
    chance: random.Random, figure: Callable[[str], None], tmp_path: Path
):
    """An hour of timers; the clock goes on in steps, back an hour, a day ahead; two kills, one in mid-delivery."""
    due_ms = [START_MS + chance.randrange(SECOND_MS, HOUR_MS) for _ in range(COUNT)]
    deliveries = Deliveries(due_ms)
    began_s = time.perf_counter()
    quiet = QuietBroker(tmp_path / "store", commit_log_file_bytes=64 << 20, consume_queue_file_bytes=600_000)
    service = await opened(quiet)
    store_timers(quiet, due_ms[: COUNT // 2], 0)
    await work(service)
    store_timers(quiet, due_ms[COUNT // 2 :], COUNT // 2)
    await quiet.store.durable()

    killed = quiet.killed(tmp_path / "first-kill")
    await quiet.close()
    service = await opened(killed)
    for _ in range(300):  # five minutes, a second at a time
        killed.clock.advance(SECOND_MS)
        await work(service)
    deliveries.look(killed)
    on_time_ms = sorted(deliveries.late_ms)
    killed.clock.advance(-HOUR_MS)
    await work(service)
    deliveries.look(killed)
    early = sum(late_ms < 0 for late_ms in deliveries.late_ms)

    again = killed.killed(tmp_path / "second-kill")
    await killed.close()
    service = await opened(again)
    again.clock.advance(HOUR_MS + DAY_MS)
    await work(service)
    deliveries.look(again)
    await again.close()

    p99_ms = on_time_ms[len(on_time_ms) * 99 // 100]
    repeated = sum(count - 1 for count in deliveries.counts.values())
    assert sorted(deliveries.counts) == list(range(COUNT)), f"{COUNT - len(deliveries.counts)} are lost"
    assert early + sum(late_ms < 0 for late_ms in deliveries.late_ms) == 0
    assert p99_ms <= SECOND_MS
    figure(
        f"B10, T1: {COUNT} timers, 2 kills, clock -1 h and +1 day: 0 lost, 0 early, {repeated} twice, p99 {p99_ms} ms "
        f"late while it ran, {time.perf_counter() - began_s:.1f} s"
    )
