import asyncio
import threading

import pytest

from mq.client import SendStatus, TransactionProducer, TransactionState
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.test_push_consumer import consumer_of
from mq.errors import InvalidMessage
from mq.message import Message, ReceivedMessage


async def never(message: ReceivedMessage) -> TransactionState:
    raise AssertionError(f"nobody should ask about {message.body!r}")


class TestSendInTransaction:
    @pytest.mark.parametrize("kind", ["async", "plain"])
    async def test_shows_what_was_committed_and_hides_what_was_rolled_back(self, cluster: Cluster, kind: str) -> None:
        topic = await cluster.topic()
        inbox = Inbox()

        def plain(message: Message) -> TransactionState:
            assert threading.current_thread() is not threading.main_thread()
            return TransactionState.COMMIT if message.tag == "good" else TransactionState.ROLLBACK

        async def coroutine(message: Message) -> TransactionState:
            return TransactionState.COMMIT if message.tag == "good" else TransactionState.ROLLBACK

        async with (
            consumer_of(cluster, topic, inbox),
            TransactionProducer(cluster.name("orders"), check=never, namesrv=cluster.namesrv) as producer,
        ):
            for number in range(10):
                message = Message(topic, b"%d" % number, tag="good" if number % 2 else "bad", keys=("k",))
                await producer.send_in_transaction(message, coroutine if kind == "async" else plain)
            await inbox.wait_for(5)

        assert sorted(inbox.bodies) == [b"1", b"3", b"5", b"7", b"9"]
        assert {(message.topic, message.keys) for message in inbox.messages} == {(topic, ("k",))}

    async def test_keeps_the_queue_of_a_sharding_key(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        inbox = Inbox()

        async def commit(_message: Message) -> TransactionState:
            return TransactionState.COMMIT

        async with (
            consumer_of(cluster, topic, inbox),
            TransactionProducer(cluster.name("orders"), check=never, namesrv=cluster.namesrv) as producer,
        ):
            half = (await producer.send_in_transaction(Message(topic, b"0", sharding_key="4711"), commit)).send_result
            plain = await producer.send(Message(topic, b"1", sharding_key="4711"))
            await inbox.wait_for(2)

        assert half.queue == plain.queue
        assert {message.queue_id for message in inbox.messages} == {plain.queue.queue_id}

    async def test_raises_what_the_work_raised_and_lets_the_check_decide(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        asked, inbox = Inbox(), Inbox()

        async def check(message: ReceivedMessage) -> TransactionState:
            asked.take([message])
            return TransactionState.COMMIT

        async def work(_message: Message) -> TransactionState:
            raise RuntimeError("the connection broke during COMMIT")

        async with (
            consumer_of(cluster, topic, inbox),
            TransactionProducer(
                cluster.name("orders"), check=check, namesrv=cluster.namesrv, settings=FAST
            ) as producer,
        ):
            with pytest.raises(RuntimeError, match="during COMMIT"):
                await producer.send_in_transaction(Message(topic, b"x", keys=("4711",)), work)
            (question,) = await asked.wait_for(1)
            await inbox.wait_for(1)

        assert (question.topic, question.body, question.keys) == (topic, b"x", ("4711",))
        assert question.message_id == inbox.messages[0].message_id

    async def test_refuses_a_work_that_does_not_say_how_it_ended(self, cluster: Cluster) -> None:
        topic = await cluster.topic()

        async def work(_message: Message) -> None:
            return None

        async with TransactionProducer(cluster.name("orders"), check=never, namesrv=cluster.namesrv) as producer:
            with pytest.raises(TypeError, match="TransactionState"):
                await producer.send_in_transaction(Message(topic, b"x"), work)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "message",
        [Message("topic", b"x", delay_level=1), Message("topic", b"x", deliver_at_ms=1), Message("%RETRY%g", b"x")],
        ids=["by level", "to a moment", "a retry topic"],
    )
    async def test_refuses_what_rocketmq_cannot_do(self, message: Message) -> None:
        async with TransactionProducer("orders", check=never, namesrv="127.0.0.1:1") as producer:
            with pytest.raises(InvalidMessage):
                await producer.send_half(message)


class TestChecks:
    async def test_ask_whoever_of_the_group_is_there(self, cluster: Cluster) -> None:
        """The first producer sends a half message and is gone; a later process of the group knows the outcome."""
        topic = await cluster.topic()
        group = cluster.name("orders")
        inbox = Inbox()

        async with TransactionProducer(group, check=never, namesrv=cluster.namesrv) as producer:
            half = await producer.send_half(Message(topic, b"x"))
        assert half.status is SendStatus.SEND_OK

        async def check(message: ReceivedMessage) -> TransactionState:
            return TransactionState.COMMIT if message.message_id == half.message_id else TransactionState.UNKNOWN

        async with (
            consumer_of(cluster, topic, inbox),
            TransactionProducer(group, check=check, namesrv=cluster.namesrv, settings=FAST),
        ):
            await inbox.wait_for(1, timeout_s=50)

        assert inbox.bodies == [b"x"]

    async def test_that_do_not_know_or_fail_are_repeated_and_never_commit(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        answers = 0

        def check(_message: ReceivedMessage) -> TransactionState:
            nonlocal answers
            answers += 1
            if answers == 1:
                raise RuntimeError("the database is down")
            if answers == 2:
                return TransactionState.UNKNOWN
            if answers == 3:
                assert inbox.messages == []
            return TransactionState.COMMIT

        async with (
            consumer_of(cluster, topic, inbox),
            TransactionProducer(
                cluster.name("orders"), check=check, namesrv=cluster.namesrv, settings=FAST
            ) as producer,
        ):
            await producer.send_half(Message(topic, b"x"))
            await inbox.wait_for(1)

        assert answers >= 3  # Real brokers may ask once more before they have noted the end.

    async def test_reach_a_producer_again_after_its_connection_broke(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        asked = asyncio.Event()

        async def check(_message: ReceivedMessage) -> TransactionState:
            asked.set()
            return TransactionState.ROLLBACK

        async with TransactionProducer(
            cluster.name("orders"), check=check, namesrv=cluster.namesrv, settings=FAST
        ) as producer:
            await producer.send_half(Message(topic, b"x"))
            for connection in producer.client.remoting.connections:
                connection.abort()

            await asyncio.wait_for(asked.wait(), timeout=20)


class TestWithoutNameServers:
    @pytest.mark.bundled("stops the name server")
    async def test_it_stays_known_to_the_brokers_it_was_told_of(self, cluster: Cluster) -> None:
        async with TransactionProducer(
            cluster.name("orders"), check=never, namesrv=cluster.namesrv, settings=FAST
        ) as producer:
            brokers = dict(producer.client.routes.brokers)
            await cluster.standalone.name_server.stop()

            await producer.client.routes.refresh(())

            assert brokers
            assert producer.client.routes.brokers == brokers
