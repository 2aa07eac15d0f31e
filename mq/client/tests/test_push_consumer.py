import asyncio
import threading
from collections import defaultdict

import pytest

from mq.client import RETRY_LATER, Admin, Client, ConsumeFromWhere, ConsumeResult, Producer, PushConsumer
from mq.client.handlers import Handler
from mq.client.tests.conftest import FAST, Cluster, Inbox, QueueWatch
from mq.message import Message, MessageQueue, ReceivedMessage


def consumer_of(
    cluster: Cluster, topic: str, handler: Handler, *, group: str = "", tags: str = "*", **options
) -> PushConsumer:
    options.setdefault("settings", FAST)
    consumer = PushConsumer(group or cluster.name("group"), namesrv=cluster.namesrv, handler=handler, **options)
    consumer.subscribe(topic, tags)
    return consumer


async def send_all(cluster: Cluster, *messages: Message) -> None:
    async with Producer("senders", namesrv=cluster.namesrv) as producer:
        for message in messages:
            await producer.send(message)


async def committed(cluster: Cluster, group: str, topic: str) -> int:
    """How many messages of the topic the group has committed, over all queues."""
    async with Admin(namesrv=cluster.namesrv) as admin:
        offsets = [await admin.consumer_offset(group, queue) for queue in await admin.queues(topic)]
    return sum(queue_offset or 0 for queue_offset in offsets)


class TestConsuming:
    async def test_gets_every_message_once_as_it_was_sent(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox):
            await send_all(cluster, *(Message(topic, b"%d" % number, tag="A", keys=("k",)) for number in range(100)))
            await inbox.wait_for(100)

        assert sorted(inbox.bodies, key=int) == [b"%d" % number for number in range(100)]
        assert {(message.topic, message.tag, message.keys, message.broker_name) for message in inbox.messages} == {
            (topic, "A", ("k",), cluster.broker_name)
        }

    async def test_gets_what_was_sent_before_it_started(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(40)))
        inbox = Inbox()

        async with consumer_of(cluster, topic, inbox, from_where=ConsumeFromWhere.FIRST_OFFSET):
            await inbox.wait_for(40)

        assert len(set(inbox.bodies)) == 40

    async def test_runs_plain_functions_in_threads(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        together = threading.Barrier(3, timeout=15)

        def handle(messages: list[ReceivedMessage]) -> None:
            together.wait()  # Passes only when three run at the same time.
            inbox.take(messages)

        async with consumer_of(cluster, topic, handle, threads=3):
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(9)))
            await inbox.wait_for(9)

        assert len(set(inbox.bodies)) == 9

    async def test_hands_out_batches_of_one_queue(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=2)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(40)))
        inbox = Inbox()
        batches: list[list[ReceivedMessage]] = []

        async def handle(messages: list[ReceivedMessage]) -> None:
            batches.append(messages)
            inbox.take(messages)

        async with consumer_of(cluster, topic, handle, batch_size=8, from_where=ConsumeFromWhere.FIRST_OFFSET):
            await inbox.wait_for(40)

        assert max(len(batch) for batch in batches) == 8
        assert all(len({message.queue_id for message in batch}) == 1 for batch in batches)

    async def test_filters_by_tag(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        # AaAa and BBBB have the same hash, so only the client can tell them apart.
        tags = ["AaAa", "BBBB", "C", None] * 5
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox, tags="AaAa || C"):
            await send_all(cluster, *(Message(topic, b"x", tag=tag) for tag in tags), Message(topic, b"last", tag="C"))
            await inbox.wait_until(lambda: b"last" in inbox.bodies and len(inbox.messages) == 11)

        assert {message.tag for message in inbox.messages} == {"AaAa", "C"}

    async def test_passes_over_what_nobody_wants(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox, group=group, tags="wanted"):
            await send_all(
                cluster, *(Message(topic, b"x", tag="other") for _ in range(50)), Message(topic, b"y", tag="wanted")
            )
            await inbox.wait_for(1)

        assert await committed(cluster, group, topic) == 51

    async def test_consumes_several_topics(self, cluster: Cluster) -> None:
        orders, stock = await cluster.topic("orders"), await cluster.topic("stock")
        inbox = Inbox()
        consumer = consumer_of(cluster, orders, inbox)
        consumer.subscribe(stock)
        async with consumer:
            await send_all(cluster, Message(orders, b"order"), Message(stock, b"stock"))
            await inbox.wait_for(2)

        assert {message.topic for message in inbox.messages} == {orders, stock}

    async def test_shares_a_client_with_a_producer_of_the_same_process(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        async with Client(cluster.namesrv, settings=FAST) as client:
            consumer = PushConsumer(cluster.name("group"), client=client, handler=inbox)
            consumer.subscribe(topic)
            async with consumer, Producer("senders", client=client) as producer:
                await producer.send(Message(topic, b"x"))
                await inbox.wait_for(1)

    async def test_waits_for_a_topic_that_comes_later(self, cluster: Cluster) -> None:
        topic = cluster.name("later")
        inbox = Inbox()
        async with consumer_of(cluster, topic, inbox, from_where=ConsumeFromWhere.FIRST_OFFSET):
            await send_all(cluster, Message(topic, b"first"))
            await inbox.wait_for(1)


class TestFirstOffset:
    @pytest.mark.bundled("Apache's broker lets young topics begin at 0 whatever is asked")
    async def test_of_a_timestamp_skips_what_is_older(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, Message(topic, b"old"))
        inbox = Inbox()

        async with consumer_of(
            cluster, topic, inbox, from_where=ConsumeFromWhere.TIMESTAMP, from_timestamp_ms=2_000_000_000_000
        ) as consumer:
            assert {queue.topic for queue in consumer.queues} >= {topic}

    async def test_goes_on_where_the_group_stopped(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        group = cluster.name("group")
        first, second = Inbox(), Inbox()
        async with consumer_of(cluster, topic, first, group=group):
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(20)))
            await first.wait_for(20)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(20, 30)))

        async with consumer_of(cluster, topic, second, group=group):
            await second.wait_for(10)

        assert sorted(second.bodies, key=int) == [b"%d" % number for number in range(20, 30)]


class TestFailures:
    async def test_come_back_later_with_their_count(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        tries: list[tuple[int, str]] = []
        inbox = Inbox()

        async def handle(messages: list[ReceivedMessage]) -> ConsumeResult | None:
            (message,) = messages
            tries.append((message.reconsume_times, message.topic))
            if message.reconsume_times < 2:
                return ConsumeResult(consumed=0, delay_level=1)
            inbox.take(messages)
            return None

        async with consumer_of(cluster, topic, handle):
            await send_all(cluster, Message(topic, b"x", keys=("k",)))
            await inbox.wait_for(1)

        assert tries == [(0, topic), (1, topic), (2, topic)]
        assert inbox.messages[0].keys == ("k",)

    async def test_of_a_handler_that_raises_are_tried_again(
        self, cluster: Cluster, caplog: pytest.LogCaptureFixture
    ) -> None:
        topic = await cluster.topic()
        group = cluster.name("group")
        inbox = Inbox()

        def handle(messages: list[ReceivedMessage]) -> None:
            if messages[0].reconsume_times == 0:
                raise RuntimeError("the database is down")
            inbox.take(messages)

        async with consumer_of(cluster, topic, handle, group=group):
            await send_all(cluster, Message(topic, b"x", keys=("order-4711",)))
            await inbox.wait_for(1, timeout_s=40)

        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert "order-4711" in record.getMessage()
        assert record.exc_info is not None
        assert await committed(cluster, group, topic) == 1

    async def test_of_part_of_a_batch_bring_back_only_that_part(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(4)))
        seen: dict[bytes, list[int]] = defaultdict(list)
        inbox = Inbox()

        async def handle(messages: list[ReceivedMessage]) -> ConsumeResult:
            for message in messages:
                seen[message.body].append(message.reconsume_times)
            inbox.take(messages)
            return ConsumeResult(consumed=2 if len(messages) == 4 else None, delay_level=1)

        async with consumer_of(cluster, topic, handle, batch_size=4, from_where=ConsumeFromWhere.FIRST_OFFSET):
            await inbox.wait_for(6)

        assert seen == {b"0": [0], b"1": [0], b"2": [0, 1], b"3": [0, 1]}

    async def test_too_many_of_them_make_a_dead_letter(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        group = cluster.name("group")
        dead, tries = Inbox(), Inbox()

        async def fail(messages: list[ReceivedMessage]) -> ConsumeResult:
            tries.take(messages)
            return ConsumeResult(consumed=0, delay_level=1)

        async with consumer_of(cluster, topic, fail, group=group, max_reconsume_times=1):
            await send_all(cluster, Message(topic, b"poison", keys=("order-4711",)))
            await tries.wait_for(2)
            async with consumer_of(
                cluster,
                f"%DLQ%{group}",
                dead,
                group=cluster.name("undertaker"),
                from_where=ConsumeFromWhere.FIRST_OFFSET,
            ):
                (letter,) = await dead.wait_for(1)

        assert (letter.body, letter.keys, letter.reconsume_times) == (b"poison", ("order-4711",), 2)
        assert letter.properties["RETRY_TOPIC"] == topic
        assert letter.properties["ORIGIN_MESSAGE_ID"] == tries.messages[0].offset_message_id

    async def test_can_go_to_the_dead_letters_at_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        group = cluster.name("group")
        dead, tries = Inbox(), Inbox()

        async def refuse(messages: list[ReceivedMessage]) -> ConsumeResult:
            tries.take(messages)
            return ConsumeResult(consumed=0, delay_level=-1)

        async with consumer_of(cluster, topic, refuse, group=group):
            await send_all(cluster, Message(topic, b"poison"))
            await tries.wait_for(1)
            async with consumer_of(
                cluster,
                f"%DLQ%{group}",
                dead,
                group=cluster.name("undertaker"),
                from_where=ConsumeFromWhere.FIRST_OFFSET,
            ):
                await dead.wait_for(1)

        assert len(tries.messages) == 1

    async def test_a_wrong_return_value_is_one(self, cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
        topic = await cluster.topic()
        inbox = Inbox()

        async def handle(messages: list[ReceivedMessage]) -> bool:
            inbox.take(messages)
            return True

        async with consumer_of(cluster, topic, handle):  # type: ignore[arg-type]
            await send_all(cluster, Message(topic, b"x"))
            await inbox.wait_for(1)

        assert "expected a ConsumeResult" in caplog.text

    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_that_would_end_a_worker_do_not(self, cluster: Cluster, kind: str) -> None:
        topic = await cluster.topic()
        inbox = Inbox()

        def leave(messages: list[ReceivedMessage]) -> None:
            if messages[0].reconsume_times == 0:
                raise SystemExit(1)
            inbox.take(messages)

        async def cancel(messages: list[ReceivedMessage]) -> None:
            if messages[0].reconsume_times == 0:
                raise asyncio.CancelledError
            inbox.take(messages)

        async with consumer_of(cluster, topic, leave if kind == "plain" else cancel, threads=1):
            await send_all(cluster, Message(topic, b"1"), Message(topic, b"2"))
            await inbox.wait_for(2, timeout_s=40)

        assert sorted(inbox.bodies) == [b"1", b"2"]

    async def test_of_a_handler_that_never_ends_give_its_message_to_others(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        group = cluster.name("group")
        inbox = Inbox()

        async def handle(messages: list[ReceivedMessage]) -> None:
            inbox.take(messages)
            if messages[0].reconsume_times == 0:
                await asyncio.Event().wait()

        consumer = consumer_of(cluster, topic, handle, group=group, consume_timeout_s=0.2)
        await consumer.start()
        await send_all(cluster, Message(topic, b"x"))
        await inbox.wait_for(2, timeout_s=40)
        await consumer.stop(grace_s=0.1)

        assert [message.reconsume_times for message in inbox.messages] == [0, 1]


class TestStopping:
    async def test_waits_for_handlers_and_commits_what_they_did(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        inbox = Inbox()
        may_end = asyncio.Event()

        async def handle(messages: list[ReceivedMessage]) -> None:
            inbox.take(messages)
            await may_end.wait()

        consumer = consumer_of(cluster, topic, handle, group=group, threads=2)
        await consumer.start()
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(10)))
        await inbox.wait_for(2)
        stopping = asyncio.create_task(consumer.stop())
        await asyncio.sleep(0)
        assert not stopping.done()

        may_end.set()
        await stopping

        assert len(inbox.messages) == 2, "nothing is begun once stopping has"
        assert await committed(cluster, group, topic) == 2

    async def test_commits_only_below_a_handler_that_did_not_end(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        inbox = Inbox()

        async def handle(messages: list[ReceivedMessage]) -> None:
            inbox.take(messages)
            if messages[0].body == b"3":
                await asyncio.Event().wait()

        consumer = consumer_of(cluster, topic, handle, group=group)
        await consumer.start()
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(10)))
        await inbox.wait_for(10)
        await consumer.stop(grace_s=0.1)

        assert await committed(cluster, group, topic) == 3

    async def test_hands_its_queues_to_the_others_at_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        group = cluster.name("group")
        watch = QueueWatch(topic)
        leaving = consumer_of(cluster, topic, Inbox(), group=group)
        staying = consumer_of(cluster, topic, Inbox(), group=group, on_queues_changed=watch)
        async with staying:
            await leaving.start()
            await watch.wait_for(2)

            await leaving.stop()
            await watch.wait_for(4)

    async def test_without_having_started_does_nothing(self) -> None:
        await PushConsumer("group", handler=lambda messages: None, namesrv="127.0.0.1:1").stop()


class TestRebalance:
    async def test_goes_on_although_the_listener_failed(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        group = cluster.name("group")
        watch = QueueWatch(topic)

        def fail_once(queues: frozenset[MessageQueue]) -> None:
            watch(queues)
            if len(watch.queues) == 2:
                raise RuntimeError("a bug of the user's")

        async with consumer_of(cluster, topic, Inbox(), group=group, on_queues_changed=fail_once):
            await watch.wait_for(4)
            async with consumer_of(cluster, topic, Inbox(), group=group):
                await watch.wait_for(2)

            await watch.wait_for(4)

    async def test_divides_the_queues_among_the_members(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=8)
        group = cluster.name("group")
        watches = [QueueWatch(topic) for _ in range(3)]
        consumers = [consumer_of(cluster, topic, Inbox(), group=group, on_queues_changed=watch) for watch in watches]
        for consumer in consumers:
            await consumer.start()

        await watches[0].wait_for(3)  # Client ids begin with the process id and the time of start, so they sort so.
        await watches[1].wait_for(3)
        await watches[2].wait_for(2)
        shares = [watch.queues for watch in watches]
        for consumer in consumers:
            await consumer.stop()

        assert frozenset.union(*shares) == {MessageQueue(topic, cluster.broker_name, number) for number in range(8)}

    async def test_with_more_members_than_queues_leaves_some_idle_and_loses_nothing(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        inbox = Inbox()
        async with (
            consumer_of(cluster, topic, inbox, group=group),
            consumer_of(cluster, topic, inbox, group=group),
        ):
            await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(50)))
            await inbox.wait_until(lambda: len(set(inbox.bodies)) == 50)


class TestMisuse:
    async def test_without_a_subscription_is_refused(self) -> None:
        with pytest.raises(ValueError, match="subscribes to nothing"):
            await PushConsumer("group", handler=lambda messages: RETRY_LATER, namesrv="127.0.0.1:1").start()

    async def test_subscribing_while_running_is_refused(self, cluster: Cluster) -> None:
        async with consumer_of(cluster, await cluster.topic(), Inbox()) as consumer:
            with pytest.raises(ValueError, match="before start"):
                consumer.subscribe("other")

    async def test_without_servers_starts_and_stops_all_the_same(self) -> None:
        consumer = PushConsumer("group", handler=lambda messages: None, namesrv="127.0.0.1:1", settings=FAST)
        consumer.subscribe("topic")

        async with consumer:
            assert consumer.queues == frozenset()
