"""Questions to a broker between the rounds, each with a client of its own; and making its topics."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from mq import event_loop
from mq.client import Admin
from mq.errors import MQError

QUEUE_COUNT = 8
_ANSWER_WITHIN_S = 20.0

Answer = TypeVar("Answer")


def run(question: Coroutine[Any, Any, Answer], timeout_s: float = _ANSWER_WITHIN_S) -> Answer:
    """Raises: TimeoutError."""

    async def limited() -> Answer:
        async with asyncio.timeout(timeout_s):
            return await question

    return event_loop.run(limited())


def is_registered(namesrv: str) -> bool:
    async def ask() -> bool:
        async with Admin(namesrv=namesrv) as admin:
            return bool(await admin.brokers())

    try:
        return run(ask())
    except MQError:
        return False


def create_topic(namesrv: str, topic: str) -> None:
    async def create() -> None:
        async with Admin(namesrv=namesrv) as admin:
            await admin.create_topic(topic, queue_count=QUEUE_COUNT)

    run(create())


def stored(namesrv: str, topic: str) -> int:
    """How many messages the topic has ever got."""

    async def ask() -> int:
        async with Admin(namesrv=namesrv) as admin:
            queues = (await admin.topic_route(topic)).subscribe_queues
            return sum(await asyncio.gather(*(admin.max_offset(queue) for queue in queues)))

    return run(ask())
