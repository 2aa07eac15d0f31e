"""Consuming by SQL92 expression. A real cluster must run with enablePropertyFilter=true."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mq.client import (
    ConsumeFromWhere,
    LitePullConsumer,
    MessageSelector,
    Producer,
    PullConsumer,
    PullStatus,
    PushConsumer,
)
from mq.client.loop_thread import stop_loop_thread
from mq.client.subscription import Subscription
from mq.client.sync_consumers import SyncPullConsumer, SyncPushConsumer
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.test_push_consumer import send_all
from mq.errors import AlreadyStopped, InvalidMessage, ResponseError
from mq.message import Message, ReceivedMessage
from mq.remoting.codes import ResponseCode

DEAR = MessageSelector.by_sql("price > 10")


def priced(topic: str, *prices: int, tag: str | None = None) -> list[Message]:
    return [Message(topic, b"%d" % price, tag=tag, properties={"price": str(price)}) for price in prices]


async def poll(consumer: LitePullConsumer, count: int) -> list[bytes]:
    bodies: list[bytes] = []
    async with asyncio.timeout(20):
        while len(bodies) < count:
            bodies += [message.body for message in await consumer.poll()]
    return bodies


class TestPushConsumer:
    async def test_gets_what_the_expression_selects(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        inbox = Inbox()
        consumer = PushConsumer(cluster.name("group"), namesrv=cluster.namesrv, handler=inbox, settings=FAST)
        consumer.subscribe(topic, MessageSelector.by_sql("price > 10 AND TAGS IN ('Paid')"))

        async with consumer:
            await send_all(
                cluster, *priced(topic, 5, 15, tag="Paid"), *priced(topic, 25), *priced(topic, 35, tag="Paid")
            )
            await inbox.wait_for(2)

        assert inbox.bodies == [b"15", b"35"]

    async def test_gets_what_it_failed_at_once_more(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        inbox = Inbox()

        async def fail_once(messages: list[ReceivedMessage]) -> None:
            await inbox(messages)
            if messages[0].reconsume_times == 0:
                raise RuntimeError("not yet")

        consumer = PushConsumer(cluster.name("group"), namesrv=cluster.namesrv, handler=fail_once, settings=FAST)
        consumer.subscribe(topic, DEAR)
        async with consumer:
            await send_all(cluster, *priced(topic, 5, 15))
            await inbox.wait_for(2, timeout_s=40)

        assert [(message.body, message.reconsume_times) for message in inbox.messages] == [(b"15", 0), (b"15", 1)]

    async def test_does_not_start_with_an_expression_that_is_none(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        consumer = PushConsumer(cluster.name("group"), namesrv=cluster.namesrv, handler=Inbox(), settings=FAST)
        consumer.subscribe(topic, MessageSelector.by_sql("price >"))

        with pytest.raises(ResponseError) as refused:
            await consumer.start()

        assert refused.value.code == ResponseCode.SUBSCRIPTION_PARSE_FAILED


class TestPullConsumer:
    async def test_gets_what_the_expression_selects(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *priced(topic, 5, 15, 25, 7))

        async with PullConsumer(cluster.name("group"), namesrv=cluster.namesrv) as consumer:
            (queue,) = await consumer.queues(topic)
            found = await consumer.pull(queue, 0, tags=DEAR)

        assert ([message.body for message in found.messages], found.next_offset) == ([b"15", b"25"], 4)

    async def test_may_wait_for_it(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)

        async with PullConsumer(cluster.name("group"), namesrv=cluster.namesrv) as consumer:
            (queue,) = await consumer.queues(topic)
            held = asyncio.create_task(consumer.pull(queue, 0, tags=DEAR, wait_s=10))
            await send_all(cluster, *priced(topic, 5, 15))
            found = await held
            if found.status is not PullStatus.FOUND:  # both may have been sent before the broker held the pull
                found = await consumer.pull(queue, found.next_offset, tags=DEAR, wait_s=10)

        assert [message.body for message in found.messages] == [b"15"]


class TestLitePullConsumer:
    async def test_polls_what_the_expression_selects(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *priced(topic, 5, 15, 25, 7))

        async with LitePullConsumer(
            cluster.name("group"), namesrv=cluster.namesrv, settings=FAST, from_where=ConsumeFromWhere.FIRST_OFFSET
        ) as consumer:
            await consumer.subscribe(topic, DEAR)
            polled = await poll(consumer, 2)

        assert polled == [b"15", b"25"]

    async def test_that_is_assigned_queues_polls_what_the_expression_selects(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        await send_all(cluster, *priced(topic, 5, 15, 25, 7))

        async with LitePullConsumer(cluster.name("group"), namesrv=cluster.namesrv, settings=FAST) as consumer:
            (queue,) = await consumer.queues(topic)
            await consumer.assign([queue], DEAR)
            consumer.seek(queue, 0)
            polled = await poll(consumer, 2)

        assert polled == [b"15", b"25"]

    async def test_refuses_an_expression_that_is_none_and_stays_as_it_was(self, cluster: Cluster) -> None:
        topic, other = await cluster.topic(queue_count=1), await cluster.topic(queue_count=1)
        wrong = MessageSelector.by_sql("price >")

        async with LitePullConsumer(cluster.name("group"), namesrv=cluster.namesrv, settings=FAST) as consumer:
            await consumer.subscribe(topic)
            with pytest.raises(ResponseError) as refused:
                await consumer.subscribe(other, wrong)

            assert list(consumer.topics()) == [topic]
        assert refused.value.code == ResponseCode.SUBSCRIPTION_PARSE_FAILED

    async def test_does_not_start_with_an_expression_that_is_none(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        consumer = LitePullConsumer(cluster.name("group"), namesrv=cluster.namesrv, settings=FAST)
        await consumer.subscribe(topic, MessageSelector.by_sql("price >"))

        with pytest.raises(ResponseError) as refused:
            await consumer.start()
        assert refused.value.code == ResponseCode.SUBSCRIPTION_PARSE_FAILED


class TestSyncConsumers:
    @pytest.fixture(autouse=True)
    def stopped_at_the_end(self):
        yield
        stop_loop_thread()

    async def test_of_both_kinds_take_expressions(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        seen: list[bytes] = []
        is_seen = threading.Event()

        def handle(messages: list[ReceivedMessage]) -> None:
            seen.extend(message.body for message in messages)
            is_seen.set()

        def consume() -> tuple[list[bytes], int, int | None]:
            pushed = SyncPushConsumer(cluster.name("pushed"), handler=handle, namesrv=cluster.namesrv, settings=FAST)
            pushed.subscribe(topic, DEAR)
            with pushed, SyncPullConsumer(cluster.name("pulled"), namesrv=cluster.namesrv) as pulled:
                assert is_seen.wait(20)
                assert {queue.topic for queue in pushed.queues} >= {topic}
                (queue,) = pulled.queues(topic)
                found = pulled.pull(queue, pulled.min_offset(queue), tags=DEAR)
                pulled.commit(queue, found.next_offset)
                return [each.body for each in found.messages], pulled.max_offset(queue), pulled.committed_offset(queue)

        async with Producer("senders", namesrv=cluster.namesrv) as producer:
            for message in priced(topic, 5, 15):
                await producer.send(message)
            assert await asyncio.to_thread(consume) == ([b"15"], 2, 2)
        assert seen == [b"15"]

    def test_that_are_not_started_say_so(self) -> None:
        consumer = SyncPullConsumer("reports")

        with pytest.raises(AlreadyStopped, match="call start"):
            consumer.queues("order-events")
        consumer.stop()


class TestSubscription:
    def test_by_tag_is_as_without_a_selector(self) -> None:
        assert Subscription.parse("t", MessageSelector.by_tag("A || B"), 1) == Subscription.parse("t", ["A", "B"], 1)

    def test_by_nothing_is_refused(self) -> None:
        with pytest.raises(InvalidMessage, match="SQL92 expression for topic 't' is empty"):
            Subscription.parse("t", MessageSelector.by_sql(" "), 1)
