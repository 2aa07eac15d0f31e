"""The whole of this package on a real broker and a real database, with processes killed at the worst moments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from django.db import connections
from django.db.models.functions import Now

from messaging import redrive, topics, transactions
from messaging.database import DatabaseThreads
from messaging.models import InboxMessage, ParkedMessage, TransactionOutcome
from messaging.tests import clockmaker
from messaging.tests.clockmaker import SERVICE, TOPIC, ClockOrdered, ClockRepaired, ClockWound, registry_with, wind
from messaging.worker import Worker
from mq.client import Client, ConsumeFromWhere, Producer, PushConsumer
from mq.testing import BrokerProcess, standalone

pytestmark = [
    pytest.mark.django_db(databases=[SERVICE], transaction=True),
    pytest.mark.usefixtures("workshop"),
]

INSTANCE_NAME = "clockmaker-1"


class Workshop:
    """A running broker, somebody who hears all answers, and the database."""

    def __init__(self, namesrv: str, producer: Producer) -> None:
        self.namesrv = namesrv
        self.producer = producer
        self.answers: asyncio.Queue[str] = asyncio.Queue()
        self.database = DatabaseThreads("test")

    async def send(self, *events) -> None:
        for event in events:
            await self.producer.send(event.to_message())

    async def answer(self) -> str:
        """The order number in the next answer."""
        return await asyncio.wait_for(self.answers.get(), 20)

    async def effects(self) -> list[str]:
        return await self.database.run(clockmaker.effects)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Ask the database until it is so."""
        async with asyncio.timeout(20):
            while not await self.database.run(is_so):  # noqa: ASYNC110 - what is waited for happens in the database
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def worker(self, handler=wind, **options) -> AsyncIterator[Worker]:
        client = Client(self.namesrv, instance_name=INSTANCE_NAME)
        worker = Worker(SERVICE, registry=registry_with(handler, **options), client=client)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()


@contextlib.asynccontextmanager
async def workshop_at(namesrv: str) -> AsyncIterator[Workshop]:
    await topics.create([TOPIC, ClockWound.topic], namesrv=namesrv)
    async with Producer("tests", namesrv=namesrv) as producer:
        workshop = Workshop(namesrv, producer)

        async def hear(messages):
            for message in messages:
                await workshop.answers.put(ClockWound.from_body(message.body).order_no)

        listener = PushConsumer("listener", handler=hear, namesrv=namesrv, from_where=ConsumeFromWhere.FIRST_OFFSET)
        listener.subscribe(ClockWound.topic)
        async with listener:
            yield workshop
        await workshop.database.close()


@pytest.fixture
async def place(tmp_path) -> AsyncIterator[Workshop]:
    broker = standalone(tmp_path / "mq", transaction_timeout_ms=100, transaction_check_interval_ms=100)
    async with broker as running, workshop_at(running.namesrv) as workshop:
        yield workshop


async def be_killed(tmp_path, *arguments: str) -> None:
    """Run messaging.tests.doomed on this test's database until it is killed."""
    database = connections[SERVICE].settings_dict
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.dev",
        "MILLRACE_DATA": str(tmp_path),
        f"DATABASE_URL_{SERVICE.upper()}": f"postgresql:///{database['NAME']}?host={database['HOST']}&user=postgres",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "messaging.tests.doomed", *arguments, env=environment, stderr=subprocess.PIPE
    )
    _, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == -9, complaints.decode()


class TestWorker:
    async def test_turns_a_message_into_an_effect_and_an_answer(self, place):
        async with place.worker():
            await place.send(ClockOrdered(order_no="A1"))

            assert await place.answer() == "A1"

        assert await place.effects() == ["A1"]
        assert await place.database.run(InboxMessage.objects.using(SERVICE).filter(sent_at=None).count) == 0

    async def test_has_one_effect_of_an_event_that_comes_in_three_messages(self, place):
        same = ClockOrdered(order_no="A1")
        async with place.worker():
            await place.send(same, same, same, ClockRepaired(order_no="A1"))

            assert [await place.answer(), await place.answer()] == ["A1", "A1"]

        assert await place.effects() == ["A1", "A1"]  # Ordered once, repaired once.

    async def test_takes_a_backlog_in_batches(self, place):
        sizes = []

        def counted(events):
            sizes.append(len(events))
            return clockmaker.wind_all(events)

        numbers = [f"A{number}" for number in range(200)]
        await place.send(*(ClockOrdered(order_no=number) for number in numbers))
        async with place.worker(counted, batch=64):
            answers = [await place.answer() for _ in numbers]

        assert sorted(answers) == sorted(await place.effects()) == sorted(numbers)
        assert max(sizes) > 10

    async def test_parks_an_order_that_fails_lets_the_others_pass_and_redrives_it_in_order(self, place, monkeypatch):
        monkeypatch.setattr(redrive, "_LOOK_EVERY_S", 0.01)
        is_fixed = False

        def handler(event):
            if event.order_no == "BAD" and not is_fixed:
                raise ValueError("no key fits")
            clockmaker.record_effect(f"{event.tag} {event.order_no}")
            return [ClockWound(order_no=event.order_no)]

        async with place.worker(handler):
            await place.send(ClockOrdered(order_no="BAD"), ClockRepaired(order_no="BAD"), ClockOrdered(order_no="A1"))
            assert await place.answer() == "A1"
            await place.send(ClockRepaired(order_no="A1"))
            assert await place.answer() == "A1"
            is_fixed = True
            await place.database.run(ParkedMessage.objects.using(SERVICE).update, next_attempt_at=Now())
            assert [await place.answer(), await place.answer()] == ["BAD", "BAD"]
            await place.until(lambda: not ParkedMessage.objects.using(SERVICE).exists())

        effects = await place.effects()
        assert [one for one in effects if "BAD" in one] == ["ClockOrdered BAD", "ClockRepaired BAD"]


class TestAConsumerThatIsKilled:
    @pytest.mark.parametrize(
        ("point", "guard"),
        [
            ("handler", "the transaction: an effect without its inbox row cannot be"),
            ("commit", "the answers in the inbox row: whoever gets the message again sends them"),
            ("send", "the inbox row: the message comes again and has no second effect"),
        ],
    )
    async def test_leaves_its_successor_one_effect_and_the_answer(self, place, tmp_path, point, guard):
        await place.send(ClockOrdered(order_no="A1"))
        await be_killed(tmp_path, "consumer", point, place.namesrv, INSTANCE_NAME)

        async with place.worker():
            assert await place.answer() == "A1"
            await place.send(ClockRepaired(order_no="A1"))
            while len(await place.effects()) < 2:
                await place.answer()

        assert await place.effects() == ["A1", "A1"], guard


class TestARequestThatIsKilled:
    async def test_after_its_commit_is_heard_all_the_same(self, place, tmp_path):
        """Guard: the outcome row, asked for by the check-back."""
        await be_killed(tmp_path, "request", "commit", place.namesrv)

        async with place.worker():
            assert await place.answer() == "A1"

        assert await place.effects() == ["requested", "A1"]

    @pytest.mark.parametrize("point", ["half", "work"])
    async def test_before_its_commit_is_never_heard(self, place, tmp_path, point, monkeypatch):
        """Guard: no outcome row, and the check-back inserts ROLLED_BACK before it answers so."""
        monkeypatch.setattr(transactions, "DEADLINE", timedelta())
        await be_killed(tmp_path, "request", point, place.namesrv)

        async with place.worker():
            await place.until(TransactionOutcome.objects.using(SERVICE).exists)
            await place.send(ClockRepaired(order_no="A1"))
            assert await place.answer() == "A1"

        assert await place.effects() == ["A1"]
        outcomes = TransactionOutcome.objects.using(SERVICE).values_list("state", flat=True)
        assert await place.database.run(list, outcomes) == ["ROLLED_BACK"]


class TestABrokerThatIsKilled:
    async def test_between_commit_and_send_gets_the_answer_when_it_is_back(self, tmp_path):
        with BrokerProcess(tmp_path / "mq") as broker:
            async with workshop_at(broker.namesrv) as place:

                def wind_while_the_broker_dies(event):
                    broker.kill()
                    return wind(event)

                await place.send(ClockOrdered(order_no="A1"))
                async with place.worker(wind_while_the_broker_dies):
                    await place.until(lambda: clockmaker.effects() == ["A1"])
                    await asyncio.to_thread(broker.start)
                    assert await place.answer() == "A1"

                assert await place.effects() == ["A1"]
