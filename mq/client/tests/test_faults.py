"""What must hold when parts die: nothing acknowledged is lost, and the order of a key is kept."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mq.client import Client, ConsumeFromWhere, Producer, PushConsumer, SendStatus
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.flow import ConsumerProcesses, Seen, send_flow
from mq.message import Message
from mq.testing import BrokerProcess

#: A producer that does not give up while something is down.
PATIENT = 10_000


@pytest.mark.slow
class TestConsumersThatDie:
    @pytest.mark.parametrize(
        "flags",
        [
            pytest.param(
                ["orderly"],
                id="orderly",
                marks=pytest.mark.bundled("Apache's broker keeps a dead consumer's locks for a minute"),
            ),
            pytest.param([], id="concurrent"),
        ],
    )
    async def test_lose_nothing_when_killed_and_joined_in_mid_flow(self, cluster: Cluster, flags: list[str]) -> None:
        topic = await cluster.topic(queue_count=4)
        seen = Seen()
        consumers = ConsumerProcesses(seen, cluster.namesrv, cluster.name("group"), topic, *flags)
        try:
            victim = await consumers.start()
            await consumers.start()
            async with Producer("senders", namesrv=cluster.namesrv) as producer:
                sending = asyncio.create_task(send_flow(producer, topic, 120, seen))
                await seen.wait_for(20)
                await consumers.end(victim, signal.SIGKILL)
                await seen.wait_for(40)
                await consumers.start()
                await sending
            await seen.wait_for(120)
        finally:
            consumers.close()

        seen.assert_complete(120)
        if flags:
            seen.assert_in_order(120)

    async def test_repeat_nothing_when_stopped_and_started_again(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        seen = Seen()
        consumers = ConsumerProcesses(seen, cluster.namesrv, cluster.name("group"), topic, "orderly")
        try:
            consumer = await consumers.start()
            async with Producer("senders", namesrv=cluster.namesrv) as producer:
                sending = asyncio.create_task(send_flow(producer, topic, 60, seen))
                for count in (10, 25):
                    await seen.wait_for(count)
                    assert await consumers.end(consumer, signal.SIGTERM) == 0
                    consumer = await consumers.start()
                await sending
            await seen.wait_for(60)
        finally:
            consumers.close()

        assert all(numbers == list(range(60)) for numbers in seen.numbers.values())


class TestNameServersThatDie:
    @pytest.mark.bundled("stops the name server")
    async def test_do_not_stop_sending_and_consuming(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        inbox = Inbox()
        consumer = PushConsumer(cluster.name("group"), namesrv=cluster.namesrv, handler=inbox, settings=FAST)
        consumer.subscribe(topic)
        async with consumer, Producer("senders", namesrv=cluster.namesrv, settings=FAST) as producer:
            await producer.send(Message(topic, b"before"))
            await inbox.wait_for(1)

            await cluster.standalone.name_server.stop()
            await producer.client.routes.refresh([topic])
            for _ in range(10):
                assert (await producer.send(Message(topic, b"after"))).status is SendStatus.SEND_OK
            await inbox.wait_for(11)

    async def test_are_passed_over(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        for _ in range(4):  # Whichever of the three is asked first.
            namesrv = f"127.0.0.1:1;{cluster.namesrv};127.0.0.1:2"
            async with Producer("senders", namesrv=namesrv) as producer:
                await producer.send(Message(topic, b"x"))


class TestBrokersThatDie:
    @pytest.fixture
    async def broker(self, tmp_path: Path) -> AsyncIterator[BrokerProcess]:
        if os.environ.get("MQ_TEST_NAMESRV"):
            pytest.skip("kills the broker")
        process = BrokerProcess(tmp_path / "store")
        await asyncio.to_thread(process.start)
        yield process
        await asyncio.to_thread(process.kill)

    @pytest.mark.parametrize("orderly", [True, False], ids=["orderly", "concurrent"])
    async def test_lose_nothing_they_acknowledged(self, broker: BrokerProcess, orderly: bool) -> None:
        """Killed three times in mid-flow; producer and consumer find it again by themselves."""
        topic = "order-events"
        seen = Seen()
        async with Client(broker.namesrv, settings=FAST) as client:
            consumer = PushConsumer(
                "group", client=client, handler=seen.handle, orderly=orderly, from_where=ConsumeFromWhere.FIRST_OFFSET
            )
            consumer.subscribe(topic)
            async with consumer, Producer("senders", client=client, retries=PATIENT) as producer:
                sending = asyncio.create_task(send_flow(producer, topic, 60, seen))
                for count in (10, 25, 40):
                    await seen.wait_for(count)
                    await asyncio.to_thread(broker.kill)
                    await asyncio.to_thread(broker.start)
                await asyncio.wait_for(sending, timeout=30)
                await seen.wait_for(60)

        seen.assert_complete(60)
        if orderly:
            seen.assert_in_order(60)
