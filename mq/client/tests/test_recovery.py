"""Small mishaps between client and broker that nobody should notice."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.client import Admin, Client, ClientSettings, ConsumeFromWhere, Producer
from mq.client.process_queue import FlowLimits, ProcessQueue
from mq.client.send_back import SendBack
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.flow import Seen, send_flow
from mq.client.tests.test_push_consumer import committed, consumer_of, send_all
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.testing import SMALL_FILES


class TestOrderlyConsumer:
    async def test_keeps_the_order_when_its_connection_breaks(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        seen = Seen()
        consumer = consumer_of(cluster, topic, seen.handle, orderly=True)
        async with consumer, Producer("senders", namesrv=cluster.namesrv) as producer:
            sending = asyncio.create_task(send_flow(producer, topic, 60, seen))
            for count in (10, 20, 30):
                await seen.wait_for(count)
                for connection in consumer.client.remoting.connections:
                    connection.abort()
            await sending
            await seen.wait_for(60)

        seen.assert_in_order(60)

    @pytest.mark.bundled("looks into the broker")
    async def test_takes_no_queue_whose_lock_ended_while_it_asked_for_the_offset(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, Message(topic, b"0"))
        inbox, locks = Inbox(), cluster.standalone.broker.locks.table
        handled_with_lock: list[bool] = []

        async def handle(messages: list[ReceivedMessage]) -> None:
            handled_with_lock.append(locks.is_locked(consumer.group, asyncio.get_running_loop().time()))
            inbox.take(messages)

        settings = replace(FAST, lock_renew_s=3600)
        consumer = consumer_of(
            cluster, topic, handle, orderly=True, settings=settings, from_where=ConsumeFromWhere.FIRST_OFFSET
        )
        start_of = consumer._offsets.start_of

        async def start_of_and_break(queue: MessageQueue) -> int:
            queue_offset = await start_of(queue)
            if queue.topic == topic and not broken:
                broken.append(queue)
                for connection in consumer.client.remoting.connections:
                    connection.abort()
                async with asyncio.timeout(5):
                    while locks.is_locked(consumer.group, asyncio.get_running_loop().time()):  # noqa: ASYNC110
                        await asyncio.sleep(0)
            return queue_offset

        broken: list[MessageQueue] = []
        monkeypatch.setattr(consumer._offsets, "start_of", start_of_and_break)
        async with consumer:
            await inbox.wait_for(1)

        assert broken
        assert handled_with_lock == [True]

    async def test_begins_again_after_a_lease_that_was_not_renewed(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        seen = Seen()
        shares: list[int] = []
        settings = ClientSettings(lock_renew_s=3600, lock_lease_s=0.03, rebalance_retry_s=0.05)
        consumer = consumer_of(
            cluster,
            topic,
            seen.handle,
            orderly=True,
            settings=settings,
            on_queues_changed=lambda queues: shares.append(len(queues)),
        )
        async with consumer, Producer("senders", namesrv=cluster.namesrv) as producer:
            await asyncio.wait_for(send_flow(producer, topic, 100, seen), timeout=40)
            await seen.wait_for(100)

        seen.assert_in_order(100)
        assert len(shares) > 10, "no lease ran out"


class TestConsumer:
    async def test_introduces_itself_again_to_a_broker_that_forgot_it(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        consumer = consumer_of(
            cluster, topic, inbox, settings=ClientSettings(pull_suspend_s=0.5, pull_error_pause_s=0.05)
        )
        async with consumer:
            client = consumer.client
            address = client.routes.master(cluster.broker_name)
            await client.brokers.unregister(address, client.client_id, producer=None, consumer=consumer.group)
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(8)))
            await inbox.wait_for(8)

    async def test_tells_its_offsets_while_it_runs(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        consumer = consumer_of(cluster, topic, inbox)
        async with consumer:
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(8)))
            await inbox.wait_for(8)
            async with asyncio.timeout(10):
                while await committed(cluster, consumer.group, topic) < 8:
                    pass

    async def test_skips_nothing_it_holds_when_the_end_of_its_queue_goes_back(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *(Message(topic, b"old %d" % number) for number in range(5)))
        inbox, held = Inbox(), Inbox()
        may_end = asyncio.Event()

        async def handle(messages: list[ReceivedMessage]) -> None:
            if messages[0].body.startswith(b"old"):
                held.take(messages)
                await may_end.wait()
            inbox.take(messages)

        consumer = consumer_of(
            cluster,
            topic,
            handle,
            settings=replace(FAST, pull_suspend_s=0.1),
            from_where=ConsumeFromWhere.FIRST_OFFSET,
        )
        async with consumer:
            await held.wait_for(5)
            async with Admin(namesrv=cluster.namesrv) as admin:
                await admin.delete_topic(topic)
                await admin.create_topic(topic, queue_count=1)
            await send_all(cluster, *(Message(topic, b"new %d" % number) for number in range(3)))
            await inbox.wait_for(3, timeout_s=10)
            may_end.set()

        assert sorted(inbox.bodies[:3]) == [b"new 0", b"new 1", b"new 2"]

    async def test_does_not_fetch_more_than_it_may_hold(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(200)))
        inbox = Inbox()
        may_end = asyncio.Event()
        held: list[int] = []

        async def handle(messages: list[ReceivedMessage]) -> None:
            await may_end.wait()
            held.append(max(len(assigned.process_queue) for assigned in consumer._assigned.values()))
            inbox.take(messages)

        settings = ClientSettings(queue_max_messages=20, pull_batch_count=10)
        consumer = consumer_of(
            cluster, topic, handle, settings=settings, threads=4, from_where=ConsumeFromWhere.FIRST_OFFSET
        )
        async with consumer:
            may_end.set()
            await inbox.wait_for(200)

        assert max(held) <= 20 + 10
        assert sorted(inbox.bodies, key=int) == [b"%d" % number for number in range(200)]


class TestSendBack:
    async def test_sends_a_copy_when_the_broker_does_not_find_the_message(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        inbox = Inbox()
        consumer = consumer_of(cluster, topic, inbox, group=group)
        async with consumer:
            await send_all(cluster, Message(topic, b"x" * 5000, keys=("order-4711",), tag="A"))
            (message,) = await inbox.wait_for(1)
            lost = ProcessQueue(next(iter(consumer.queues)), 0, FlowLimits.of(FAST))
            message.commit_log_offset = 10**15

            assert await SendBack(consumer.client, group, 16).send_back(lost, message, 0)
            _, again = await inbox.wait_for(2, timeout_s=40)

        assert (again.body, again.keys, again.tag, again.topic) == (b"x" * 5000, ("order-4711",), "A", topic)
        assert (again.reconsume_times, again.message_id) == (1, message.message_id)


class TestTwoBrokers:
    @pytest.mark.bundled("starts a second broker")
    async def test_a_send_that_fails_goes_to_the_other_one(self, cluster: Cluster, tmp_path: Path) -> None:
        config = BrokerConfig(
            broker_name="broker-b",
            listen_port=0,
            store_root=tmp_path / "b",
            name_server_addresses=cluster.namesrv,
            **SMALL_FILES,
        )
        second = Broker(config)
        await second.start()
        topic = await cluster.topic(queue_count=2)
        inbox = Inbox()
        async with (
            Client(cluster.namesrv, settings=FAST) as client,
            Producer("senders", client=client) as producer,
            consumer_of(cluster, topic, inbox),
        ):
            before = [await producer.send(Message(topic, b"before")) for _ in range(4)]
            await inbox.wait_for(4)
            await second.stop()
            after = [await producer.send(Message(topic, b"after")) for _ in range(4)]
            await inbox.wait_for(8)

        assert {result.queue.broker_name for result in before} == {"broker-a", "broker-b"}
        assert {result.queue.broker_name for result in after} == {"broker-a"}


class TestAdmin:
    async def test_creates_changes_and_deletes_topics(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        async with Admin(namesrv=cluster.namesrv) as admin:
            assert topic in await admin.topics()
            assert len(await admin.queues(topic)) == 2

            await admin.create_topic(topic, queue_count=5)
            assert len(await admin.queues(topic)) == 5

            await admin.delete_topic(topic)
            assert topic not in await admin.topics()

    async def test_tells_how_far_a_group_is(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox, group=group):
            await send_all(cluster, *(Message(topic, b"x") for _ in range(3)))
            await inbox.wait_for(3)
        await send_all(cluster, Message(topic, b"y"))

        async with Admin(namesrv=cluster.namesrv) as admin:
            (queue,) = await admin.queues(topic)
            stats = await admin.consume_stats(group, topic)
            assert (stats[queue].consumer_offset, stats[queue].broker_offset, stats[queue].lag) == (3, 4, 1)

            await admin.set_consumer_offset(group, queue, 1)
            assert await admin.consumer_offset(group, queue) == 1
            assert (await admin.min_offset(queue), await admin.max_offset(queue)) == (0, 4)
            assert await admin.search_offset(queue, 0) == 0
            assert await admin.search_offset(queue, 4_000_000_000_000) == 4
