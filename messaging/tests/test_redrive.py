from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from django.db.models.functions import Now

from messaging import parking, processing, redrive
from messaging.database import DatabaseThreads
from messaging.models import ParkedMessage
from messaging.outgoing import Answer
from messaging.redrive import Answers, Redrive
from messaging.tests import clockmaker
from messaging.tests.clockmaker import GROUP, SERVICE, ClockOrdered, received, registry_with
from mq.client import Producer
from mq.errors import MessageTooLarge

pytestmark = [
    pytest.mark.django_db(databases=[SERVICE], transaction=True),
    pytest.mark.usefixtures("workshop"),
]


class PickyAnswers(Answers):
    """Sends everything but what order BAD says, which no broker would take."""

    async def send(self, answers: list[Answer]) -> BaseException | None:
        return MessageTooLarge("too long") if any("BAD" in answer.key for answer in answers) else None


def park(*order_nos: str) -> None:
    def refuse(event):
        raise ValueError("no key fits")

    messages = [received(ClockOrdered(order_no=no)) for no in order_nos]
    processing.process(messages, group=GROUP, registry=registry_with(refuse))
    ParkedMessage.objects.using(SERVICE).update(next_attempt_at=Now())


def reasons() -> dict[str, str]:
    return dict(ParkedMessage.objects.using(SERVICE).values_list("sharding_key", "reason"))


@pytest.fixture
async def database() -> AsyncIterator[DatabaseThreads]:
    threads = DatabaseThreads("test")
    yield threads
    await threads.close()


async def keep_trying(database: DatabaseThreads, until: Callable[[], bool]) -> None:
    answers = PickyAnswers(cast(Producer, None), database)
    redriving = Redrive(registry=registry_with(), database=database, answers=answers)
    trying = asyncio.create_task(redriving.keep_trying(SERVICE))
    async with asyncio.timeout(20):
        while not await database.run(until):
            assert not trying.done(), trying.exception()
    trying.cancel()


class TestKeepTrying:
    async def test_leaves_an_order_that_cannot_go_on_and_goes_on_with_those_behind_it(self, database):
        await database.run(park, "BAD", "GOOD")

        await keep_trying(database, lambda: reasons().get("GOOD") is None)

        assert await database.run(reasons) == {"BAD": "MessageTooLarge('too long')"}
        assert await database.run(clockmaker.effects) == ["BAD", "GOOD"]
        assert await database.run(parking.due, SERVICE) == []

    async def test_survives_whatever_goes_wrong(self, database, monkeypatch):
        monkeypatch.setattr(redrive, "_LOOK_EVERY_S", 0.01)
        await database.run(park, "GOOD")
        failures = [RuntimeError("a bug")]
        due = parking.due
        monkeypatch.setattr(parking, "due", lambda service: _fail(failures.pop()) if failures else due(service))

        await keep_trying(database, lambda: not reasons())

        assert await database.run(clockmaker.effects) == ["GOOD"]


def _fail(error: Exception) -> list[tuple[str, str]]:
    raise error
