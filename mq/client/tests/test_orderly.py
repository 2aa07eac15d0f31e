import asyncio
import threading
from collections import defaultdict

import pytest

from mq.client import ConsumeFromWhere, ConsumeResult, Producer, PushConsumer
from mq.client.handlers import Handler
from mq.client.tests.conftest import FAST, Cluster, Inbox, QueueWatch
from mq.message import Message, ReceivedMessage

KEYS = [f"order-{number}" for number in range(12)]


def orderly(cluster: Cluster, topic: str, handler: Handler, *, group: str, **options) -> PushConsumer:
    options = {"settings": FAST, "suspend_s": 0.05, "from_where": ConsumeFromWhere.FIRST_OFFSET, **options}
    consumer = PushConsumer(group, namesrv=cluster.namesrv, handler=handler, orderly=True, **options)
    consumer.subscribe(topic)
    return consumer


async def send_sequences(producer: Producer, topic: str, first: int, last: int) -> None:
    """One message per key and number; the numbers of a key are sent one after the other."""

    async def send(key: str) -> None:
        for number in range(first, last):
            await producer.send(Message(topic, b"%d" % number, sharding_key=key))

    await asyncio.gather(*(send(key) for key in KEYS))


def sequences(messages: list[ReceivedMessage]) -> dict[str, list[int]]:
    """What each key's consumer saw, in the order it saw it."""
    seen: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        assert message.sharding_key is not None
        seen[message.sharding_key].append(int(message.body))
    return seen


def assert_in_order(messages: list[ReceivedMessage], count: int) -> None:
    """Nothing is missing, and a number never appears before a smaller one has; repetitions are allowed."""
    seen = sequences(messages)
    assert sorted(seen) == sorted(KEYS)
    for key, numbers in seen.items():
        first_seen = list(dict.fromkeys(numbers))
        assert first_seen == list(range(count)), f"{key}: {numbers}"


class TestOrder:
    @pytest.mark.parametrize("kind", ["async", "plain"])
    @pytest.mark.parametrize("batch_size", [1, 7])
    async def test_of_a_key_is_the_order_it_was_sent_in(self, cluster: Cluster, kind: str, batch_size: int) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        handler = inbox if kind == "async" else inbox.take
        async with (
            orderly(cluster, topic, handler, group=cluster.name("group"), batch_size=batch_size),
            Producer("senders", namesrv=cluster.namesrv) as producer,
        ):
            await send_sequences(producer, topic, 0, 30)
            await inbox.wait_for(30 * len(KEYS))

        assert sequences(inbox.messages) == {key: list(range(30)) for key in KEYS}

    async def test_has_one_handler_per_queue_and_several_queues_at_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        inbox = Inbox()
        running: set[int] = set()
        most = 0
        lock = threading.Lock()
        two_at_once = threading.Event()

        def handle(messages: list[ReceivedMessage]) -> None:
            nonlocal most
            queue_id = messages[0].queue_id
            with lock:
                assert queue_id not in running
                running.add(queue_id)
                most = max(most, len(running))
                if most > 1:
                    two_at_once.set()
            two_at_once.wait(10)
            with lock:
                running.remove(queue_id)
            inbox.take(messages)

        async with (
            orderly(cluster, topic, handle, group=cluster.name("group")),
            Producer("senders", namesrv=cluster.namesrv) as producer,
        ):
            await send_sequences(producer, topic, 0, 5)
            await inbox.wait_for(5 * len(KEYS))

        assert most > 1

    async def test_waits_for_a_message_that_fails(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        inbox = Inbox()
        failures = 0

        async def handle(messages: list[ReceivedMessage]) -> None:
            nonlocal failures
            (message,) = messages
            if message.body == b"3" and message.reconsume_times < 2:
                failures += 1
                raise RuntimeError("not yet")
            inbox.take(messages)

        async with (
            orderly(cluster, topic, handle, group=cluster.name("group")),
            Producer("senders", namesrv=cluster.namesrv) as producer,
        ):
            await send_sequences(producer, topic, 0, 6)
            await inbox.wait_for(6 * len(KEYS))

        assert sequences(inbox.messages) == {key: list(range(6)) for key in KEYS}
        assert failures == 2 * len(KEYS)

    async def test_keeps_the_part_of_a_batch_that_was_done(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        inbox = Inbox()
        batches: list[list[bytes]] = []

        async def handle(messages: list[ReceivedMessage]) -> ConsumeResult | None:
            batches.append([message.body for message in messages])
            if len(batches) == 1:
                return ConsumeResult(consumed=2)
            inbox.take(messages)
            return None

        async with Producer("senders", namesrv=cluster.namesrv) as producer:
            for number in range(6):
                await producer.send(Message(topic, b"%d" % number))
        async with orderly(cluster, topic, handle, group=cluster.name("group"), batch_size=4):
            await inbox.wait_for(4)

        assert batches[0] == [b"0", b"1", b"2", b"3"]
        assert inbox.bodies == [b"2", b"3", b"4", b"5"]

    async def test_goes_on_after_giving_up_on_a_message(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        inbox, dead = Inbox(), Inbox()
        tries: list[int] = []

        async def handle(messages: list[ReceivedMessage]) -> None:
            if messages[0].body == b"poison":
                tries.append(messages[0].reconsume_times)
                raise RuntimeError("never")
            inbox.take(messages)

        async with (
            orderly(cluster, topic, handle, group=group, max_reconsume_times=2),
            Producer("senders", namesrv=cluster.namesrv) as producer,
        ):
            for body in (b"before", b"poison", b"after"):
                await producer.send(Message(topic, body, keys=("order-4711",)))
            await inbox.wait_for(2)
            undertaker = PushConsumer(
                cluster.name("undertaker"),
                namesrv=cluster.namesrv,
                handler=dead,
                settings=FAST,
                from_where=ConsumeFromWhere.FIRST_OFFSET,
            )
            undertaker.subscribe(f"%DLQ%{group}")
            async with undertaker:
                (letter,) = await dead.wait_for(1)

        assert inbox.bodies == [b"before", b"after"]
        assert tries == [0, 1, 2]
        assert (letter.body, letter.keys) == (b"poison", ("order-4711",))


class TestQueuesThatChangeHands:
    async def test_lose_nothing_and_keep_their_order(self, cluster: Cluster) -> None:
        """A second consumer comes in mid-flow and goes again; both handle slowly enough to be caught at work."""
        topic = await cluster.topic(queue_count=4)
        group = cluster.name("group")
        inbox = Inbox()
        watch = QueueWatch(topic)

        async def handle(messages: list[ReceivedMessage]) -> None:
            await asyncio.sleep(0.002)
            inbox.take(messages)

        async with (
            orderly(cluster, topic, handle, group=group),
            Producer("senders", namesrv=cluster.namesrv) as producer,
        ):
            sending = asyncio.create_task(send_sequences(producer, topic, 0, 100))
            await inbox.wait_for(50)
            async with orderly(cluster, topic, handle, group=group, on_queues_changed=watch):
                await watch.wait_for(2)
                await inbox.wait_until(lambda: len(set(_seen(inbox))) >= 50 * len(KEYS))
            await sending
            await inbox.wait_until(lambda: len(set(_seen(inbox))) == 100 * len(KEYS))

        assert_in_order(inbox.messages, 100)

    async def test_wait_for_the_handler_that_still_has_one(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        group = cluster.name("group")
        started, may_end = asyncio.Event(), asyncio.Event()
        order: list[str] = []
        inbox = Inbox()

        async def slow(messages: list[ReceivedMessage]) -> None:
            started.set()
            await may_end.wait()
            order.append("slow one done")

        async def quick(messages: list[ReceivedMessage]) -> None:
            order.append(f"quick one got {messages[0].body.decode()}")
            inbox.take(messages)

        first = orderly(cluster, topic, slow, group=group)
        await first.start()
        async with Producer("senders", namesrv=cluster.namesrv) as producer:
            await producer.send(Message(topic, b"a"))
            await producer.send(Message(topic, b"b"))
        await started.wait()
        async with orderly(cluster, topic, quick, group=group):
            stopping = asyncio.create_task(first.stop())
            await asyncio.sleep(0)
            may_end.set()
            await stopping
            await inbox.wait_for(1)

        assert order == ["slow one done", "quick one got b"]


def _seen(inbox: Inbox) -> list[tuple[str | None, bytes]]:
    return [(message.sharding_key, message.body) for message in inbox.messages]
