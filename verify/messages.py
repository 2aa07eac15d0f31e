"""Messages: what was sent has arrived, and nothing lies where messages go that nobody could handle (I12).

Read from the broker: how far each consumer group is in each of its topics and in its retry topic, its dead letters, and
half messages whose transaction has not ended. Read from the inboxes: answers not sent, messages parked.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from django.conf import settings

from config.environment import SERVICES
from messaging.registry import registry
from mq.client import Admin, PullConsumer
from mq.errors import NoRoute
from mq.message import MessageQueue
from verify import books
from verify.finding import Check, Comparison

_HALF_TOPIC = "RMQ_SYS_TRANS_HALF_TOPIC"
_HALF_PROGRESS_GROUP = "CID_RMQ_SYS_TRANS"
#: A group that is this far behind in one queue is not counted message by message.
_COUNTED_MAX = 1000
#: What lies still after so many looks is stuck.
_LOOKS = 12
_LOOK_EVERY_S = 0.25
_UNSENT = "SELECT count(*) FROM messaging_inboxmessage WHERE outgoing IS NOT NULL AND sent_at IS NULL"
_PARKED = "SELECT count(*) FROM messaging_parkedmessage"


def under_way() -> Counter[str]:
    """How many messages have not had their effect, by where they are; what is not in it is empty.

    Raises: MQError, or Django's OperationalError: somebody did not answer.
    """
    found = asyncio.run(_in_broker())
    for service in SERVICES:
        found[f"answers of {service} not sent"] += books.value(service, _UNSENT)
        found[f"parked in {service}"] += books.value(service, _PARKED)
    return +found


def _nothing_is_stuck() -> Comparison:
    found = Comparison({"groups": len({one.group for one in subscriptions()}), "messages consumed": 0})
    found.count(
        "messages consumed", sum(books.value(one, "SELECT count(*) FROM messaging_inboxmessage") for one in SERVICES)
    )
    for place, count in sorted(_left_lying().items()):
        found.count(place, count)
        found.require(False, f"{count} {place}")
    return found


def _left_lying() -> Counter[str]:
    """What is under way at every look: a timer may go off at any moment, and is consumed a moment later."""
    found = under_way()
    for _ in range(_LOOKS):
        if not found:
            break
        time.sleep(_LOOK_EVERY_S)
        found &= under_way()
    return found


class Subscription(NamedTuple):
    """What a consumer group wants of a topic."""

    group: str
    topic: str
    tags: tuple[str, ...]


def subscriptions() -> list[Subscription]:
    """Every consumer group with each topic it listens to."""
    for service in SERVICES:
        importlib.import_module(f"{service}.consumers")
    wanted: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for consumer in (one for service in SERVICES for one in registry.of_service(service)):
        wanted[consumer.group, consumer.topic] |= set(consumer.by_tag)
    return [Subscription(group, topic, tuple(sorted(tags))) for (group, topic), tags in sorted(wanted.items())]


async def _in_broker() -> Counter[str]:
    found: Counter[str] = Counter()
    async with Admin(namesrv=settings.MQ_NAMESRV_ADDR) as admin:
        if not await admin.brokers():  # without this, a broker that is down would look like one that is empty
            raise NoRoute("no broker is registered at the name server")
        for group, topic, tags in subscriptions():
            found[f"in {topic} for {group}"] += await _behind(admin, group, topic, tags)
        for group in sorted({one.group for one in subscriptions()}):
            found[f"in %RETRY%{group}"] += await _behind(admin, group, f"%RETRY%{group}", None)
            found[f"in %DLQ%{group}"] += await _depth(admin, f"%DLQ%{group}")
        found["half messages"] += await _behind(admin, _HALF_PROGRESS_GROUP, _HALF_TOPIC, None)
    return found


async def _behind(admin: Admin, group: str, topic: str, tags: Sequence[str] | None) -> int:
    """How many messages of a topic a group has not consumed; `tags` leaves out those that it does not want anyway."""
    total = 0
    async for queue in _queues(admin, topic):
        consumed = await admin.consumer_offset(group, queue)
        start = await admin.min_offset(queue) if consumed is None else consumed
        end = await admin.max_offset(queue)
        total += end - start if tags is None else await _wanted(admin, queue, start, end, tags)
    return total


async def _wanted(admin: Admin, queue: MessageQueue, start: int, end: int, tags: Sequence[str]) -> int:
    """Messages of these tags among some; a group commits past the others only when its long pull returns."""
    consumer = PullConsumer("verify", client=admin.client)
    count, position = 0, start
    while position < end and count < _COUNTED_MAX:
        pulled = await consumer.pull(queue, position, tags=list(tags))
        count += sum(message.queue_offset < end for message in pulled.messages)
        position = max(pulled.next_offset, position + 1)
    return count + max(end - position, 0)


async def _depth(admin: Admin, topic: str) -> int:
    return sum([await admin.max_offset(queue) - await admin.min_offset(queue) async for queue in _queues(admin, topic)])


async def _queues(admin: Admin, topic: str) -> AsyncIterator[MessageQueue]:
    """The queues of a topic; none when it does not exist: some are made only when the first message needs them."""
    try:
        queues = await admin.queues(topic)
    except NoRoute:
        queues = ()
    for queue in queues:
        yield queue


CHECKS = (
    Check(
        "I12", "half, retry and dead-letter topics are empty; nothing is unsent, parked or behind", _nothing_is_stuck
    ),
)
