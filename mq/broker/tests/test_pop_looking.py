"""Looking at what a POP would give: told that there is something, shown it, and who else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mq.broker.app import Broker
from mq.broker.tests.popping import INVISIBLE_MS, PopConsumer, pass_time
from mq.broker.tests.wire import Wire, until
from mq.message import record
from mq.remoting.codes import ResponseCode

REFUSED = [
    ({"topic": "nothing"}, ResponseCode.TOPIC_NOT_EXIST),
    ({"queue_id": 2}, ResponseCode.INVALID_PARAMETER),
    ({"queue_id": -2}, ResponseCode.INVALID_PARAMETER),
    ({"consumer_group": "or/ders"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
]


@pytest.fixture
async def consumer(wire: Wire) -> PopConsumer:
    await wire.create_topic("order-events", 2)
    return PopConsumer(wire)


class TestNotification:
    async def test_says_whether_there_is_a_message_and_takes_none(self, wire: Wire, consumer: PopConsumer):
        assert not await consumer.is_notified()
        await wire.send("order-events", b"placed", queue_id=1)

        assert await consumer.is_notified()
        assert not await consumer.is_notified(queue_id=0)
        assert await consumer.is_notified(queue_id=1)
        assert await consumer.bodies() == [b"placed"]
        assert not await consumer.is_notified()

    async def test_comes_when_a_message_does(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        waiting = asyncio.create_task(consumer.is_notified(poll_time=5000))
        await until(lambda: len(broker.pop_looking.polling) == 1)

        await wire.send("order-events", b"placed")

        assert await waiting
        assert len(broker.pop_looking.polling) == 0

    async def test_comes_when_a_message_comes_again(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await wire.send("order-events", b"placed")
        await consumer.pop()
        waiting = asyncio.create_task(consumer.is_notified(poll_time=5000))
        await until(lambda: len(broker.pop_looking.polling) == 1)

        await pass_time(broker, INVISIBLE_MS)

        assert await waiting

    async def test_says_no_when_its_time_is_up(self, consumer: PopConsumer):
        assert not await consumer.is_notified(poll_time=30)

    async def test_says_when_no_more_can_be_held(self, consumer: PopConsumer, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("mq.broker.pop_polling.MAX_HELD", 0)

        fields = (await consumer.notification(poll_time=5000)).ext_fields

        assert (fields["hasMsg"], fields["pollingFull"]) == ("false", "true")

    async def test_of_a_client_that_left_is_forgotten(
        self, new_wire: Callable[..., Wire], consumer: PopConsumer, broker: Broker
    ):
        wire = new_wire()
        waiting = asyncio.create_task(PopConsumer(wire).notification(poll_time=5000))
        await until(lambda: len(broker.pop_looking.polling) == 1)

        await wire.close()

        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: len(broker.pop_looking.polling) == 0)

    @pytest.mark.parametrize(("changes", "code"), REFUSED)
    async def test_refuses(self, consumer: PopConsumer, changes: dict[str, Any], code: ResponseCode):
        assert (await consumer.notification(**changes)).code == code


class TestPeeking:
    async def test_shows_messages_of_all_queues_and_takes_none(self, wire: Wire, consumer: PopConsumer):
        await wire.send("order-events", b"placed", queue_id=0)
        await wire.send("order-events", b"paid", queue_id=1)

        for _ in range(2):
            response = await consumer.peek()
            assert sorted(message.body for message in record.iterate(response.body)) == [b"paid", b"placed"]
            assert response.ext_fields["restNum"] == "2"
        assert await consumer.bodies() == [b"paid", b"placed"]

    async def test_shows_no_more_than_asked_for(self, wire: Wire, consumer: PopConsumer):
        await wire.send("order-events", b"placed")
        await wire.send("order-events", b"paid")

        response = await consumer.peek(queue_id=0, max_msg_nums=1)

        assert [message.body for message in record.iterate(response.body)] == [b"placed"]

    async def test_shows_what_comes_again(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await wire.send("order-events", b"placed")
        await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)

        (again,) = record.iterate((await consumer.peek()).body)

        assert (again.body, again.topic) == (b"placed", "%RETRY%orders_order-events")

    async def test_finds_nothing_behind_what_was_popped(self, wire: Wire, consumer: PopConsumer):
        await wire.send("order-events", b"placed")
        await consumer.pop()

        assert (await consumer.peek()).code == ResponseCode.PULL_NOT_FOUND

    @pytest.mark.parametrize(("changes", "code"), REFUSED)
    async def test_refuses(self, consumer: PopConsumer, changes: dict[str, Any], code: ResponseCode):
        assert (await consumer.peek(**changes)).code == code


class TestPollingInfo:
    async def test_counts_who_waits_for_a_queue_and_who_for_any(self, consumer: PopConsumer, broker: Broker):
        waiting = [asyncio.create_task(consumer.ask(poll_time=5000, queue_id=each)) for each in (-1, -1, 0)]
        await until(lambda: len(broker.pop.polling) == 3)

        counts = [(await consumer.polling_info(queue_id)).ext_fields["pollingNum"] for queue_id in (-1, 0, 1)]

        assert counts == ["2", "1", "0"]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    @pytest.mark.parametrize(("changes", "code"), REFUSED)
    async def test_refuses(self, consumer: PopConsumer, changes: dict[str, Any], code: ResponseCode):
        assert (await consumer.polling_info(**changes)).code == code
