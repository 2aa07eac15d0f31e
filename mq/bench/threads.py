"""The load of the synchronous face: `produce`, with threads in place of coroutines."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

from mq.bench.loads import QUEUE_COUNT, WARM_UP_PART, Options
from mq.bench.measure import Durations, Report
from mq.client import Admin
from mq.client.sync import SyncProducer
from mq.errors import MQError
from mq.message import Message


async def threads(options: Options) -> Report:
    """Send from `workers` threads, each of which waits for its answer."""
    async with Admin(namesrv=options.namesrv) as admin:
        await admin.create_topic(options.topic, queue_count=QUEUE_COUNT)
    return await asyncio.to_thread(_produce, options)


def _produce(options: Options) -> Report:
    report = options.report("threads")
    durations = report.durations["send"] = Durations()
    message = Message(options.topic, os.urandom(options.body_bytes))
    producer = SyncProducer("bench-threads", namesrv=options.namesrv)

    def work(part: float) -> int:
        """One thread's share; how many sends were acknowledged."""
        left = sys.maxsize if options.seconds else max(1, int(options.messages * part) // options.workers)
        until_s = time.perf_counter() + options.seconds * part if options.seconds else float("inf")
        acknowledged = 0
        while left > 0 and time.perf_counter() < until_s:
            left -= 1
            began_s = time.perf_counter()
            try:
                producer.send(message)
            except MQError as error:
                report.failures[f"{type(error).__name__}: {error}"] += 1
            else:
                durations.add(time.perf_counter() - began_s)
                acknowledged += 1
        return acknowledged

    try:
        producer.start()
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(work, repeat(WARM_UP_PART, options.workers)))
            durations.clear()
            report.failures.clear()
            with report.measured():
                report.messages = sum(pool.map(work, repeat(1.0, options.workers)))
    finally:
        producer.stop()
    return report
