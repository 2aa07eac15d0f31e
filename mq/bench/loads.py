"""The four loads: produce, consume, latency, transaction.

Each makes its topic, warms up without measuring, and reports. `produce` and `transaction` are closed: every worker
waits for its answer before it goes on. `latency` is open: messages are due at fixed moments, and a message that leaves
late has waited since the moment it was due.
"""

from __future__ import annotations

import asyncio
import math
import os
import struct
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mq.bench.measure import Durations, Report
from mq.client import Admin, ConsumeFromWhere, Producer, PushConsumer, TransactionProducer, TransactionState
from mq.errors import MQError
from mq.message import Message, ReceivedMessage

#: Part of the messages sent beforehand, unmeasured: connections, routes and learned shapes are then in place.
WARM_UP_PART: Final = 0.1
QUEUE_COUNT: Final = 8
_FILL_BATCH: Final = 32
_DUE = struct.Struct(">d")


@dataclass(frozen=True)
class Options:
    """`workers` send at once; `rate` is messages per second, for `latency`; `batch` messages per request.

    `seconds`: send for so long instead of a number of messages; `consume` needs the number.
    """

    namesrv: str | None = None
    topic: str = "MqBench"
    workers: int = 64
    body_bytes: int = 500
    messages: int = 100_000
    batch: int = 1
    rate: int = 2000
    seconds: float | None = None

    def report(self, load: str, *names: str) -> Report:
        settings = {"workers": self.workers, "body_bytes": self.body_bytes}
        settings |= {name: getattr(self, name) for name in names}
        return Report(load, settings)


async def produce(options: Options) -> Report:
    """Send and wait for the answer, with many workers at once."""
    report = options.report("produce", "batch")
    durations = report.durations["send"] = Durations()
    body = os.urandom(options.body_bytes)
    async with Admin(namesrv=options.namesrv) as admin:
        await admin.create_topic(options.topic, queue_count=QUEUE_COUNT)
    async with Producer("bench-produce", namesrv=options.namesrv) as producer:

        async def send() -> int:
            began_s = time.perf_counter()
            if options.batch == 1:
                await producer.send(Message(options.topic, body))
            else:
                await producer.send_batch([Message(options.topic, body) for _ in range(options.batch)])
            durations.add(time.perf_counter() - began_s)
            return options.batch

        await _measure(report, options, send, durations)
    return report


async def transaction(options: Options) -> Report:
    """Send a half message, commit it: two requests, one awaited."""
    report = options.report("transaction")
    durations = report.durations["transaction"] = Durations()
    body = os.urandom(options.body_bytes)

    async def commit(message: Message) -> TransactionState:
        return TransactionState.COMMIT

    async with Admin(namesrv=options.namesrv) as admin:
        await admin.create_topic(options.topic, queue_count=QUEUE_COUNT)
    async with TransactionProducer(
        "bench-transaction", namesrv=options.namesrv, check=lambda half: TransactionState.COMMIT
    ) as producer:

        async def send() -> int:
            began_s = time.perf_counter()
            await producer.send_in_transaction(Message(options.topic, body), commit)
            durations.add(time.perf_counter() - began_s)
            return 1

        await _measure(report, options, send, durations)
    return report


async def consume(options: Options) -> Report:
    """Fill a new topic, then consume all of it with a new group."""
    report = options.report("consume", "batch")
    topic = f"{options.topic}-{uuid.uuid4().hex[:8]}"
    await _fill(options, topic)
    consumed = 0
    is_done = asyncio.Event()

    async def handle(messages: list[ReceivedMessage]) -> None:
        nonlocal consumed
        consumed += len(messages)
        if consumed >= options.messages:
            is_done.set()

    consumer = PushConsumer(
        f"bench-{uuid.uuid4().hex[:8]}",
        handler=handle,
        namesrv=options.namesrv,
        batch_size=options.batch,
        from_where=ConsumeFromWhere.FIRST_OFFSET,
    )
    consumer.subscribe(topic)
    with report.measured():
        await consumer.start()
        try:
            await asyncio.wait_for(is_done.wait(), 60 + options.messages / 1000)
        except TimeoutError:
            report.failures[f"{options.messages - consumed} messages did not come"] += 1
    report.messages = consumed
    await consumer.stop()
    return report


async def latency(options: Options) -> Report:
    """Send at a fixed rate, consume at the same time; durations count from the moment a message was due."""
    report = options.report("latency", "rate")
    to_consumer = report.durations["to consumer"] = Durations()
    to_answer = report.durations["to answer"] = Durations()
    lateness = report.durations["late sends"] = Durations()
    topic = f"{options.topic}-{uuid.uuid4().hex[:8]}"
    filling = bytes(max(0, options.body_bytes - _DUE.size))
    count = options.messages if options.seconds is None else int(options.rate * options.seconds)
    warm_up = min(options.rate, count)
    received = 0
    is_done = asyncio.Event()

    async def handle(messages: list[ReceivedMessage]) -> None:
        nonlocal received
        now_s = time.perf_counter()
        for message in messages:
            (due_s,) = _DUE.unpack_from(message.body)
            received += 1
            if due_s > 0:
                to_consumer.add(now_s - due_s)
        if received >= warm_up + count - report.failures.total():
            is_done.set()

    consumer = PushConsumer(
        f"bench-{uuid.uuid4().hex[:8]}",
        handler=handle,
        namesrv=options.namesrv,
        from_where=ConsumeFromWhere.FIRST_OFFSET,
    )
    consumer.subscribe(topic)
    async with Admin(namesrv=options.namesrv) as admin:
        await admin.create_topic(topic, queue_count=QUEUE_COUNT)
    async with Producer("bench-latency", namesrv=options.namesrv) as producer, consumer:

        async def send(due_s: float) -> None:
            stamp_s, sent_s = max(due_s, 0.0), time.perf_counter()
            try:
                await producer.send(Message(topic, _DUE.pack(stamp_s) + filling))
            except MQError as error:
                report.failures[f"{type(error).__name__}: {error}"] += 1
            if due_s > 0:
                lateness.add(sent_s - due_s)
                to_answer.add(time.perf_counter() - due_s)

        await _at_rate(options.rate, warm_up, lambda _: send(-1.0))
        with report.measured():
            await _at_rate(options.rate, count, send)
        failed = report.failures.total()
        report.messages = count - failed
        try:
            await asyncio.wait_for(is_done.wait(), 30 if failed < count else 0)
        except TimeoutError:
            report.failures[f"{warm_up + report.messages - received} messages did not come"] += 1
    return report


async def _measure(report: Report, options: Options, send: Callable[[], Awaitable[int]], durations: Durations) -> None:
    """Have the workers send a warm-up, then what counts."""
    await _by_workers(options, WARM_UP_PART, send, None)
    durations.clear()
    with report.measured():
        report.messages = await _by_workers(options, 1.0, send, report)


async def _by_workers(options: Options, part: float, send: Callable[[], Awaitable[int]], report: Report | None) -> int:
    """Send that part of it all; the number that was acknowledged.

    In the warm-up (no report) every worker sends once more, and the first failure ends it all.
    """
    if options.seconds is None:
        left, until_s = int(options.messages * part) + (options.workers if report is None else 0), math.inf
    else:
        left, until_s = sys.maxsize, time.perf_counter() + options.seconds * part
    acknowledged = 0

    async def work() -> None:
        nonlocal left, acknowledged
        while left > 0 and time.perf_counter() < until_s:
            left -= options.batch
            try:
                count = await send()  # not `+= await`: that reads the sum before it waits
            except MQError as error:
                if report is None:
                    raise
                report.failures[f"{type(error).__name__}: {error}"] += 1
            else:
                acknowledged += count

    await asyncio.gather(*(work() for _ in range(options.workers)))
    return acknowledged


async def _at_rate(rate: int, messages: int, send: Callable[[float], Awaitable[None]]) -> None:
    """Start `messages` sends at fixed moments and wait for all of them."""
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    sends: list[asyncio.Task[Any]] = []
    while len(sends) < messages:
        due_count = min(messages, int((time.perf_counter() - began_s) * rate) + 1)
        for number in range(len(sends), due_count):
            sends.append(loop.create_task(_awaited(send(began_s + number / rate))))
        await asyncio.sleep(max(0.0, began_s + len(sends) / rate - time.perf_counter()))
    await asyncio.gather(*sends)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


async def _fill(options: Options, topic: str) -> None:
    body = os.urandom(options.body_bytes)
    async with Admin(namesrv=options.namesrv) as admin:
        await admin.create_topic(topic, queue_count=QUEUE_COUNT)
    async with Producer("bench-fill", namesrv=options.namesrv) as producer:
        left = options.messages

        async def fill() -> None:
            nonlocal left
            while left > 0:
                count = min(left, _FILL_BATCH)
                left -= count
                await producer.send_batch([Message(topic, body) for _ in range(count)])

        await asyncio.gather(*(fill() for _ in range(8)))
