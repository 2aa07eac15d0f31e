import asyncio

import pytest

from mq.client import Admin, ConsumeFromWhere, LitePullConsumer, Producer, PullConsumer
from mq.client.allocation import AveragelyByCircle
from mq.client.tests.conftest import FAST, Cluster, QueueWatch, eventually
from mq.client.tests.test_push_consumer import committed, send_all
from mq.errors import AlreadyStopped
from mq.message import Message, MessageQueue, ReceivedMessage


def consumer_of(cluster: Cluster, group: str = "", **options) -> LitePullConsumer:
    options.setdefault("from_where", ConsumeFromWhere.FIRST_OFFSET)
    return LitePullConsumer(group or cluster.name("group"), namesrv=cluster.namesrv, settings=FAST, **options)


async def send_numbers(cluster: Cluster, topic: str, count: int) -> None:
    """To one queue, so that they come in order."""
    async with Producer("senders", namesrv=cluster.namesrv) as producer:
        for number in range(count):
            await producer.send(Message(topic, b"%d" % number, sharding_key="one"))


async def poll_numbers(consumer: LitePullConsumer, count: int) -> list[int]:
    """The next `count` messages or so: whole polls, the last one too."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while len(numbers) < count:
            numbers += [int(message.body) for message in await consumer.poll()]
    return numbers


class TestSubscribed:
    async def test_gets_every_message_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(50)))
        async with consumer_of(cluster) as consumer:
            await consumer.subscribe(topic)
            numbers = await poll_numbers(consumer, 50)

            assert sorted(numbers) == list(range(50))
            assert await consumer.poll(timeout_s=0.05) == []

    async def test_gives_no_more_than_a_batch_of_one_queue(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(40)))
        async with consumer_of(cluster, poll_batch=7) as consumer:
            await consumer.subscribe(topic)
            polls = [await consumer.poll() for _ in range(4)]

        assert all(0 < len(messages) <= 7 for messages in polls)
        assert all(len({message.queue_id for message in messages}) == 1 for messages in polls)

    async def test_gets_only_the_tags_it_wants(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        await send_all(cluster, *(Message(topic, tag.encode(), tag=tag) for tag in "ABCABC"))
        async with consumer_of(cluster) as consumer:
            await consumer.subscribe(topic, "A || C")
            bodies: list[bytes] = []
            while len(bodies) < 4:
                bodies += [message.body for message in await consumer.poll()]

        assert sorted(bodies) == [b"A", b"A", b"C", b"C"]

    async def test_shares_the_queues_with_the_others_of_its_group(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        group = cluster.name("group")
        watches = [QueueWatch(topic), QueueWatch(topic)]
        first, second = (
            consumer_of(cluster, group, strategy=AveragelyByCircle(), on_queues_changed=watch) for watch in watches
        )
        async with first, second:
            await first.subscribe(topic)
            await second.subscribe(topic)
            shares = [await watch.wait_for(2) for watch in watches]

            assert shares[0] | shares[1] == frozenset(await first.queues(topic))
            assert abs(min(shares[0]).queue_id - max(shares[0]).queue_id) == 2
            await second.stop()
            await watches[0].wait_for(4)


class TestCommitting:
    async def test_counts_messages_as_done_when_polled_again(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        await send_numbers(cluster, topic, 20)
        async with consumer_of(cluster, group, poll_batch=10) as consumer:
            await consumer.subscribe(topic)
            await poll_numbers(consumer, 10)
            await consumer._offsets.commit(consumer._held())
            after_one = await committed(cluster, group, topic)
            await poll_numbers(consumer, 10)
            await consumer._offsets.commit(consumer._held())

            assert [after_one, await committed(cluster, group, topic)] == [0, 10]

        assert await committed(cluster, group, topic) == 20

    async def test_does_not_count_what_an_error_left_undone(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        await send_numbers(cluster, topic, 20)

        async def fail_with_the_second_batch() -> None:
            async with consumer_of(cluster, group, poll_batch=10) as consumer:
                await consumer.subscribe(topic)
                await poll_numbers(consumer, 10)
                await poll_numbers(consumer, 10)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail_with_the_second_batch()

        assert await committed(cluster, group, topic) == 10

    async def test_is_left_to_its_user_without_auto_commit(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        await send_numbers(cluster, topic, 30)
        async with consumer_of(cluster, group, poll_batch=10, auto_commit=False) as consumer:
            await consumer.subscribe(topic)
            await poll_numbers(consumer, 10)
            await consumer.commit()
            await poll_numbers(consumer, 10)

        async with consumer_of(cluster, group, poll_batch=10) as again:
            await again.subscribe(topic)
            assert (await poll_numbers(again, 1))[0] == 10

    async def test_takes_the_offset_it_is_told(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        await send_numbers(cluster, topic, 30)
        async with consumer_of(cluster, group, auto_commit=False) as consumer:
            (queue,) = await consumer.queues(topic)
            await consumer.commit({queue: 25})

            assert await consumer.committed_offset(queue) == 25


class TestAssigned:
    async def test_reads_exactly_its_queues(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(40)))
        async with consumer_of(cluster) as consumer:
            mine = frozenset(sorted(await consumer.queues(topic))[1:3])
            await consumer.assign(mine)
            messages: list[ReceivedMessage] = []
            while len(messages) < 20:
                messages += await consumer.poll()

            assert consumer.assignment == mine
            assert {message.queue_id for message in messages} == {1, 2}
            assert await consumer.poll(timeout_s=0.05) == []

    async def test_forgets_an_earlier_assignment(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(40)))
        async with consumer_of(cluster) as consumer:
            first, second = sorted(await consumer.queues(topic))
            await consumer.assign([first])
            await consumer.poll()
            await consumer.assign([second])
            messages = [*await consumer.poll(), *await consumer.poll()]

        assert {message.queue_id for message in messages} == {second.queue_id}

    async def test_cannot_subscribe_as_well(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        async with consumer_of(cluster) as assigned, consumer_of(cluster) as subscribed:
            await assigned.assign(await assigned.queues(topic))
            await subscribed.subscribe(topic)

            with pytest.raises(ValueError, match="was assigned queues"):
                await assigned.subscribe(topic)
            with pytest.raises(ValueError, match="has subscribed"):
                await subscribed.assign(await subscribed.queues(topic))

    async def test_refuses_a_queue_that_is_not_its_own(self, cluster: Cluster) -> None:
        async with consumer_of(cluster) as consumer:
            with pytest.raises(ValueError, match="not assigned"):
                consumer.seek(MessageQueue("order-events", cluster.broker_name, 0), 0)

    async def test_cannot_be_polled_once_stopped(self, cluster: Cluster) -> None:
        async with consumer_of(cluster) as consumer:
            pass

        with pytest.raises(AlreadyStopped):
            await consumer.poll()


class TestSeek:
    async def test_gives_nothing_from_before_any_more(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_numbers(cluster, topic, 40)
        async with consumer_of(cluster, poll_batch=5) as consumer:
            await consumer.subscribe(topic)
            await poll_numbers(consumer, 5)
            (queue,) = consumer.assignment
            consumer.seek(queue, 30)
            forwards = await poll_numbers(consumer, 10)
            await consumer.seek_to_begin(queue)
            backwards = await poll_numbers(consumer, 5)
            await consumer.seek_to_end(queue)
            nothing = await consumer.poll(timeout_s=0.05)
            await send_numbers(cluster, topic, 1)
            new = await poll_numbers(consumer, 1)

        assert (forwards, backwards, nothing, new) == (list(range(30, 40)), list(range(5)), [], [0])

    async def test_finds_the_offset_of_a_moment(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_numbers(cluster, topic, 3)
        async with consumer_of(cluster) as consumer, PullConsumer("readers", namesrv=cluster.namesrv) as reader:
            (queue,) = await consumer.queues(topic)
            first, *_ = (await reader.pull(queue, 0)).messages

            assert await consumer.offset_for_timestamp(queue, first.store_timestamp_ms) == 0
            assert await consumer.offset_for_timestamp(queue, first.store_timestamp_ms + 3_600_000) == 3

    async def test_follows_an_operator_who_resets_the_group(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_numbers(cluster, topic, 20)
        async with consumer_of(cluster, poll_batch=32) as consumer:
            await consumer.subscribe(topic)
            await poll_numbers(consumer, 20)
            consumer.reset_offsets({MessageQueue(topic, cluster.broker_name, 0): 15})

            assert await poll_numbers(consumer, 5) == list(range(15, 20))


class TestPause:
    async def test_holds_a_queue_back_until_it_is_resumed(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(20)))
        async with consumer_of(cluster) as consumer:
            await consumer.subscribe(topic)
            await eventually(lambda: len(consumer.assignment) == 2)
            first, _ = sorted(consumer.assignment)
            consumer.pause(first)
            others = [*await poll_numbers(consumer, 10)]
            nothing = await consumer.poll(timeout_s=0.1)
            consumer.resume(first)
            held = await poll_numbers(consumer, 10)

        assert nothing == []
        assert sorted(others + held) == list(range(20))


class TestLitePull:
    async def test_shows_operators_what_it_is(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        async with consumer_of(cluster, group) as consumer:
            await consumer.subscribe(topic)
            info = consumer.running_info()

        assert info["properties"]["PROP_CONSUME_TYPE"] == "CONSUME_ACTIVELY"
        assert [each["topic"] for each in info["subscriptionSet"]] == [topic]

    async def test_is_a_member_of_its_group_only_while_it_runs(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(), cluster.name("group")
        async with Admin(namesrv=cluster.namesrv) as admin, consumer_of(cluster, group) as consumer:
            await consumer.subscribe(topic)
            await admin.queues(topic)
            address = admin.client.routes.master(cluster.broker_name)
            members = await admin.client.brokers.consumer_ids(address, group)

        assert members == [consumer.client.client_id]
