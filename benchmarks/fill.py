"""Filling a broker before a round: messages, topics, timers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine

from benchmarks import questions
from mq.client import Admin, Producer
from mq.message import Message

BODY_BYTES = 500
BATCH = 32
#: A broker that is slow under a flood is waited for; what is measured comes later.
SEND_WITHIN_S = 20.0
TIMER_TOPIC = "timers"
#: None of them is due while anything is measured.
FIRST_TIMER_S, LAST_TIMER_S = 6 * 3600, 48 * 3600


def run(filling: Coroutine[object, object, None], timeout_s: float = 1200.0) -> None:
    """Raises: TimeoutError."""
    questions.run(filling, timeout_s)


async def backlog(namesrv: str, topic: str, messages: int) -> None:
    """`messages` of `BODY_BYTES` in a topic of 8 queues."""
    bodies = [Message(topic, os.urandom(BODY_BYTES)) for _ in range(BATCH)]
    async with Admin(namesrv=namesrv) as admin:
        await admin.create_topic(topic, queue_count=questions.QUEUE_COUNT)
    async with Producer("bench-fill", namesrv=namesrv) as producer:

        async def send(number: int) -> None:
            count = min(BATCH, messages - number * BATCH)
            await producer.send_batch(bodies[:count], timeout_s=SEND_WITHIN_S)

        await _each(-(-messages // BATCH), send, at_once=16)


async def topics(namesrv: str, count: int) -> None:
    """Topics of 8 queues, each queue with a message in it."""
    async with Admin(namesrv=namesrv) as admin, Producer("bench-fill", namesrv=namesrv) as producer:

        async def create(number: int) -> None:
            topic = f"topic-{number:05}"
            await admin.create_topic(topic, queue_count=questions.QUEUE_COUNT)
            for queue in await producer.queues(topic):
                await producer.send(Message(topic, b"first"), queue=queue, timeout_s=SEND_WITHIN_S)

        await _each(count, create, at_once=8)


async def timers(namesrv: str, count: int) -> None:
    """Messages that are due hours from now, spread evenly."""
    body, now_ms = os.urandom(BODY_BYTES), int(time.time() * 1000)
    async with Admin(namesrv=namesrv) as admin:
        await admin.create_topic(TIMER_TOPIC, queue_count=questions.QUEUE_COUNT)
    async with Producer("bench-fill", namesrv=namesrv) as producer:

        async def send(number: int) -> None:
            due_s = FIRST_TIMER_S + (LAST_TIMER_S - FIRST_TIMER_S) * number / count
            message = Message(TIMER_TOPIC, body, deliver_at_ms=now_ms + int(due_s * 1000))
            await producer.send(message, timeout_s=SEND_WITHIN_S)

        await _each(count, send, at_once=64)


async def _each(count: int, do: Callable[[int], Awaitable[None]], *, at_once: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await do(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
