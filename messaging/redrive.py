"""Parked messages go on: the first of each sharding key is tried again, and those behind it follow in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from messaging import inbox, outgoing, parking, processing
from messaging.database import DatabaseThreads, is_unreachable
from messaging.outgoing import Answer
from messaging.registry import Registry
from mq.client import Producer
from mq.errors import MQError

logger = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0


class Answers:
    """Sends what handlers answered and notes it in their inbox rows."""

    def __init__(self, producer: Producer, database: DatabaseThreads) -> None:
        self._producer = producer
        self._database = database

    async def send(self, answers: list[Answer]) -> BaseException | None:
        """Send all that can be sent; what went wrong first with the rest, which comes again with its message."""
        if not answers:
            return None
        sent, failure = await outgoing.send_all(answers, self._producer.send)
        if sent:
            await self._database.run(inbox.mark_sent, sent)
        return failure


class Redrive:
    def __init__(self, *, registry: Registry, database: DatabaseThreads, answers: Answers) -> None:
        self._registry = registry
        self._database = database
        self._answers = answers

    async def keep_trying(self, service: str) -> None:
        """Try whatever is due, for ever: no failure ends it, and none of one key keeps the others from their turn."""
        while True:
            try:
                for group, sharding_key in await self._database.run(parking.due, service):
                    await self._try(service, group, sharding_key)
            except Exception as error:  # Mostly a database or a broker that is away; all of it is due again next time.
                logger.warning("parked messages of %s wait: %r", service, error)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _try(self, service: str, group: str, sharding_key: str) -> None:
        """Raises: what is wrong with database or broker, for then the other keys would only wait for it, too."""
        try:
            await self.retry(service, group, sharding_key)
        except Exception as error:
            if is_unreachable(error) or (isinstance(error, MQError) and error.retryable):
                raise
            logger.exception("what group %s parked under %s cannot go on", group, sharding_key)
            await self._database.run(_note_failure, service, group, sharding_key, reason=repr(error))

    async def retry(self, service: str, group: str, sharding_key: str) -> int:
        """Try what is parked under a key, in order, until one fails again; how many had their effect.

        Raises: MQError: answers could not be sent; their message stays parked. OperationalError: no database.
        """
        count = 0
        while True:
            found = await self._database.run(
                processing.retry_parked, service, group, sharding_key, registry=self._registry
            )
            if found is None:
                return count
            parked, answers = found
            failure = await self._answers.send(answers)
            if failure is not None:
                raise failure
            await self._database.run(parking.take_out, service, parked)
            logger.info("parked %s of group %s had its effect", parked.key, group)
            count += 1


def _note_failure(service: str, group: str, sharding_key: str, *, reason: str) -> None:
    parked = parking.first_of(service, group, sharding_key)
    if parked is not None:
        parking.note_failure(parked, reason=reason)


@asynccontextmanager
async def redriving(*, registry: Registry, namesrv: str) -> AsyncIterator[Redrive]:
    """A `Redrive` of its own, for a command."""
    database = DatabaseThreads("redrive")
    async with Producer("redrive", namesrv=namesrv) as producer:
        yield Redrive(registry=registry, database=database, answers=Answers(producer, database))
    await database.close()
