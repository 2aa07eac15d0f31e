import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from mq.client import Admin, Client, Producer, PullConsumer, PullStatus, SendResult, SendStatus
from mq.client.outgoing import MAX_BODY_BYTES
from mq.client.tests.conftest import Cluster
from mq.errors import AlreadyStopped, InvalidMessage, MessageTooLarge, NoRoute
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.message.properties import java_hash


async def read(cluster: Cluster, result: SendResult) -> ReceivedMessage:
    """The message that a send says it stored."""
    async with PullConsumer("readers", namesrv=cluster.namesrv) as consumer:
        pulled = await consumer.pull(result.queue, result.queue_offset, max_count=1)
    assert pulled.status is PullStatus.FOUND
    return pulled.messages[0]


async def read_all(cluster: Cluster, topic: str) -> list[ReceivedMessage]:
    messages: list[ReceivedMessage] = []
    async with PullConsumer("readers", namesrv=cluster.namesrv) as consumer:
        for queue in await consumer.queues(topic):
            at = 0
            while at < await consumer.max_offset(queue):
                pulled = await consumer.pull(queue, at)
                messages += pulled.messages
                at = pulled.next_offset
    return messages


class TestSend:
    async def test_says_where_the_message_is(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        message = Message(
            topic, b"placed", tag="OrderPlaced", keys=("4711", "buyer-1"), properties={"lang": "中文"}, flag=7
        )

        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            result = await producer.send(message)

        stored = await read(cluster, result)
        assert result.status is SendStatus.SEND_OK
        assert (stored.body, stored.tag, stored.keys, stored.flag) == (b"placed", "OrderPlaced", ("4711", "buyer-1"), 7)
        assert stored.properties["lang"] == "中文"
        assert stored.message_id == result.message_id
        assert stored.offset_message_id == result.offset_message_id
        assert (stored.topic, stored.queue_id, stored.queue_offset) == (
            topic,
            result.queue.queue_id,
            result.queue_offset,
        )

    async def test_is_found_by_key_and_by_both_ids(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            result = await producer.send(Message(topic, b"placed", keys=("4711",)))

        async with Admin(namesrv=cluster.namesrv) as admin:
            by_id = await admin.view_message(result.offset_message_id)
            by_key = await _until_found(lambda: admin.query_message(topic, "4711"))
            by_unique_id = await _until_found(lambda: admin.query_unique_message(topic, result.message_id))

        assert [by_id.body, by_key[0].body, by_unique_id[0].body] == [b"placed"] * 3

    async def test_takes_the_queues_in_turn(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = [await producer.send(Message(topic, b"x")) for _ in range(8)]

        assert Counter(result.queue.queue_id for result in results) == dict.fromkeys(range(4), 2)

    async def test_goes_to_the_queue_it_is_told(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            queue = (await producer.queues(topic))[2]
            result = await producer.send(Message(topic, b"x"), queue=queue)

        assert (await read(cluster, result)).queue_id == 2

    async def test_refuses_a_queue_of_another_topic(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            with pytest.raises(InvalidMessage, match="other-topic"):
                await producer.send(Message(topic, b"x"), queue=MessageQueue("other-topic", cluster.broker_name, 0))

    async def test_asks_the_selector(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = [
                await producer.send(Message(topic, body), selector=lambda queues, message: queues[message.body[0] % 4])
                for body in (b"\x05", b"\x06", b"\x05")
            ]

        assert [result.queue.queue_id for result in results] == [1, 2, 1]

    async def test_keeps_a_sharding_key_in_one_queue_the_one_java_takes(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        keys = [f"2024-{number}" for number in range(20)]
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = {key: await producer.send(Message(topic, b"x", sharding_key=key)) for key in keys}
            again = {key: await producer.send(Message(topic, b"y", sharding_key=key)) for key in keys}

        assert {key: result.queue.queue_id for key, result in results.items()} == {
            key: abs(java_hash(key)) % 4 for key in keys
        }
        assert all(again[key].queue == results[key].queue for key in keys)
        assert (await read(cluster, again[keys[0]])).sharding_key == keys[0]

    async def test_many_at_once_all_arrive_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        bodies = [b"%d" % number for number in range(3000)]
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = await asyncio.gather(*(producer.send(Message(topic, body)) for body in bodies))

        assert sorted(message.body for message in await read_all(cluster, topic)) == sorted(bodies)
        assert len({result.message_id for result in results}) == len(bodies)

    @pytest.mark.bundled("the threads of Apache's broker may swap sends that are in flight together")
    async def test_keeps_the_order_of_sends_to_one_queue(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        bodies = [b"%d" % number for number in range(200)]
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            await producer.queues(topic)
            await asyncio.gather(*(producer.send(Message(topic, body)) for body in bodies))

        assert [message.body for message in await read_all(cluster, topic)] == bodies

    async def test_creates_a_topic_that_is_not_there(self, cluster: Cluster) -> None:
        topic = cluster.name("made-by-sending")
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            result = await producer.send(Message(topic, b"first"))

        assert (await read(cluster, result)).body == b"first"

    async def test_compresses_large_bodies_and_gives_them_back_whole(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        compressible = b"millrace " * 10_000
        incompressible = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(300))
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            large = await producer.send(Message(topic, compressible))
            random = await producer.send(Message(topic, incompressible))

        large_record, random_record = await read(cluster, large), await read(cluster, random)
        assert large_record.body == compressible
        assert large_record.record_bytes < 2000
        assert random_record.body == incompressible
        assert len(incompressible) < random_record.record_bytes < len(incompressible) + 500

    async def test_waits_rather_than_floods_a_connection(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        body = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(8000))
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = await asyncio.gather(*(producer.send(Message(topic, body), timeout_s=30) for _ in range(40)))

        assert {result.status for result in results} == {SendStatus.SEND_OK}


class TestRefusals:
    @pytest.mark.parametrize(
        ("message", "error"),
        [
            (Message("topic", b""), InvalidMessage),
            (Message("no blanks", b"x"), InvalidMessage),
            (Message("t" * 128, b"x"), InvalidMessage),
            (Message("topic", b"x", properties={"UNIQ_KEY": "mine"}), InvalidMessage),
            (Message("topic", b"x", delay_level=3, deliver_at_ms=1), InvalidMessage),
            (Message("topic", b"x" * (MAX_BODY_BYTES + 1)), MessageTooLarge),
            (Message("topic", b"x", properties={"long": "v" * 33_000}), MessageTooLarge),
            (Message("topic", b"x", properties={"long": "中" * 11_000}), MessageTooLarge),
        ],
        ids=[
            "empty",
            "illegal",
            "long topic",
            "reserved",
            "delayed twice",
            "large",
            "properties",
            "properties in UTF-8",
        ],
    )
    async def test_come_before_anything_is_sent(self, message: Message, error: type[Exception]) -> None:
        async with Producer("orders", namesrv="127.0.0.1:1") as producer:
            with pytest.raises(error):
                await producer.send(message)

    async def test_say_when_no_name_server_answers(self) -> None:
        async with Producer("orders", namesrv="127.0.0.1:1") as producer:
            with pytest.raises(NoRoute, match=r"127\.0\.0\.1:1"):
                await producer.send(Message("topic", b"x"))

    async def test_say_that_it_was_not_started(self) -> None:
        producer = Producer("orders")

        with pytest.raises(AlreadyStopped, match="start"):
            await producer.send(Message("topic", b"x"))

    async def test_say_that_it_was_stopped(self, cluster: Cluster) -> None:
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            pass

        with pytest.raises(AlreadyStopped, match="start"):
            await producer.send(Message("topic", b"x"))

    async def test_say_so_to_a_send_that_stopping_overtakes(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        producer = Producer("orders", namesrv=cluster.namesrv)
        await producer.start()
        sending = asyncio.create_task(producer.send(Message(topic, b"x")))
        await asyncio.sleep(0)  # It is connecting to the name server now.

        await producer.stop()

        with pytest.raises((AlreadyStopped, NoRoute)):
            await sending

    async def test_tell_two_producers_of_one_group_on_one_client_apart(self) -> None:
        async with Client("127.0.0.1:1") as client, Producer("orders", client=client):
            with pytest.raises(ValueError, match="orders"):
                await Producer("orders", client=client).start()


class TestOneway:
    async def test_arrives_without_an_answer(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            for number in range(50):
                await producer.send_oneway(Message(topic, b"%d" % number))
            # Real brokers handle one-way sends in several threads, so neither order nor moment is certain.
            stored = await _until_found(lambda: read_all(cluster, topic), count=50)

        assert sorted(int(message.body) for message in stored) == list(range(50))


class TestBatch:
    async def test_is_one_request_and_many_messages(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        messages = [Message(topic, b"%d" % number, tag="A", keys=(f"key-{number}",)) for number in range(10)]
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            (result,) = await producer.send_batch(messages)

        stored = await read_all(cluster, topic)
        assert [message.body for message in stored] == [message.body for message in messages]
        assert [message.keys for message in stored] == [message.keys for message in messages]
        assert [message.message_id for message in stored] == result.message_id.split(",")
        assert [message.queue_offset for message in stored] == list(
            range(result.queue_offset, result.queue_offset + 10)
        )

    async def test_too_large_for_one_request_becomes_several_in_order(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        messages = [Message(topic, b"%02d" % number + b"x" * 1_000_000) for number in range(10)]
        async with Producer("orders", namesrv=cluster.namesrv) as producer:
            results = await producer.send_batch(messages, timeout_s=30)

        assert len(results) == 3
        assert len({result.queue for result in results}) == 1
        assert [message.body[:2] for message in await read_all(cluster, topic)] == [
            b"%02d" % number for number in range(10)
        ]

    @pytest.mark.parametrize(
        "messages",
        [
            [],
            [Message("a", b"x"), Message("b", b"x")],
            [Message("a", b"x", sharding_key="1"), Message("a", b"x", sharding_key="2")],
            [Message("a", b"x", delay_level=1)],
            [Message("%RETRY%group", b"x")],
        ],
        ids=["empty", "two topics", "two sharding keys", "delayed", "a retry topic"],
    )
    async def test_refuses_what_cannot_be_together(self, messages: list[Message]) -> None:
        async with Producer("orders", namesrv="127.0.0.1:1") as producer:
            with pytest.raises(InvalidMessage):
                await producer.send_batch(messages)


class TestDelay:
    async def test_by_level_hides_a_message_until_its_time(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        async with (
            Producer("orders", namesrv=cluster.namesrv) as producer,
            PullConsumer("readers", namesrv=cluster.namesrv) as consumer,
        ):
            await producer.send(Message(topic, b"late", delay_level=1))
            await producer.send(Message(topic, b"now"))
            (queue,) = await consumer.queues(topic)
            now = await consumer.pull(queue, 0, wait_s=10)
            late = await consumer.pull(queue, 1, wait_s=15)

        assert [message.body for message in now.messages] == [b"now"]
        assert [message.body for message in late.messages] == [b"late"]
        assert late.messages[0].store_timestamp_ms - late.messages[0].born_timestamp_ms >= 1000

    async def test_to_a_moment_is_never_early(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        deliver_at_ms = time.time_ns() // 1_000_000 + 2500
        async with (
            Producer("orders", namesrv=cluster.namesrv) as producer,
            PullConsumer("readers", namesrv=cluster.namesrv) as consumer,
        ):
            await producer.send(Message(topic, b"timed", deliver_at_ms=deliver_at_ms))
            (queue,) = await consumer.queues(topic)
            result = await consumer.pull(queue, 0, wait_s=15)

        assert [message.body for message in result.messages] == [b"timed"]
        # Brokers round the moment down to their precision of one second.
        assert -1000 <= result.messages[0].store_timestamp_ms - deliver_at_ms < 2000


async def _until_found(query: Callable[[], Awaitable[list[ReceivedMessage]]], count: int = 1) -> list[ReceivedMessage]:
    """Indexes are built behind the log's back: ask until so many messages are in."""
    async with asyncio.timeout(10):
        while len(found := await query()) < count:
            pass
    return found
