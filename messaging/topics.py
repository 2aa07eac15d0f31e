"""The topics of the shop: all that an event of some service names, each with as many queues as its traffic may need."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from messaging.events import Event
from mq.client.admin import Admin

#: Also the most consumers of a group that can share a topic's work.
QUEUES: Final = 8


def of_services(services: Iterable[str]) -> set[str]:
    """Every topic that the published contracts (`messages.py`) name."""
    for service in services:
        importlib.import_module(f"{service}.messages")
    return {event.topic for event in _all_events(Event) if hasattr(event, "topic")}


async def create(topics: Iterable[str], *, namesrv: str) -> None:
    """Create the topics that are missing; those there are left as they are.

    Raises: MQError: no broker to create them on.
    """
    async with Admin(namesrv=namesrv) as admin:
        existing = set(await admin.topics())
        for topic in sorted(set(topics) - existing):
            await admin.create_topic(topic, queue_count=QUEUES)


def _all_events(base: type[Event]) -> set[type[Event]]:
    return {base}.union(*(_all_events(event) for event in base.__subclasses__()))
