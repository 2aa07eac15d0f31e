"""The consuming process: messages in, effects in the database, answers out, for any number of services.

Per consumer group one PushConsumer; its handler lets a thread do the database half (messaging.processing), then sends
the answers from the event loop, and only then acknowledges by returning. Next to it run the automatic tries of parked
messages, and a transaction producer per service, which answers the broker's check-backs while no web process runs.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from messaging import processing
from messaging.database import THREADS, DatabaseThreads
from messaging.redrive import Answers, Redrive
from messaging.registry import Consumer, Registry
from messaging.transactions import check_back, producer_group
from mq.client import Client, ConsumeFromWhere, Producer, PushConsumer, TransactionProducer
from mq.client.background import cancel, spawn
from mq.message import ReceivedMessage

#: Messages of one queue that are handed out together where no handler wants more.
_BATCH: Final = 32


class Worker:
    """Consumes for one service: all of its groups, on connections shared with other workers of the process."""

    def __init__(self, service: str, *, registry: Registry, client: Client, answers: type[Answers] = Answers) -> None:
        self.service = service
        self._registry = registry
        self._database = DatabaseThreads(service)
        self._producer = Producer(f"{service}-answers", client=client)
        self._answers = answers(self._producer, self._database)
        self._redrive = Redrive(registry=registry, database=self._database, answers=self._answers)
        self._asked = TransactionProducer(
            producer_group(service), check=partial(check_back, using=service), client=client
        )
        groups: dict[str, list[Consumer]] = {}
        for consumer in registry.of_service(service):
            groups.setdefault(consumer.group, []).append(consumer)
        self._consumers = [self._consumer_of(group, members, client) for group, members in groups.items()]

    async def start(self) -> None:
        await self._producer.start()
        await self._asked.start()
        for consumer in self._consumers:
            await consumer.start()
        self._trying = spawn(self._redrive.keep_trying(self.service), f"redrive of {self.service}")

    async def stop(self) -> None:
        """Take no more messages, finish those at hand, leave the groups."""
        await cancel(self._trying)
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        await self._asked.stop()
        await self._producer.stop()
        await self._database.close()

    def _consumer_of(self, group: str, members: list[Consumer], client: Client) -> PushConsumer:
        if len({member.orderly for member in members}) != 1:
            raise ValueError(f"group {group!r}: either all of its consumers are orderly, or none")
        push = PushConsumer(
            group,
            handler=partial(self._handle, group),
            client=client,
            orderly=members[0].orderly,
            batch_size=max([_BATCH, *(member.batch or 1 for member in members)]),
            threads=2 * THREADS,
            from_where=ConsumeFromWhere.FIRST_OFFSET,  # What was said before the group first started concerns it, too.
        )
        for topic in sorted({member.topic for member in members}):
            tags = [tag for member in members if member.topic == topic for tag in member.by_tag]
            push.subscribe(topic, sorted(tags))
        return push

    async def _handle(self, group: str, messages: list[ReceivedMessage]) -> None:
        processed = await self._database.run(processing.process, messages, group=group, registry=self._registry)
        failure = await self._answers.send(processed.answers) or processed.failure
        if failure is not None:
            raise failure
