import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mq.client import ConsumeFromWhere, TransactionState
from mq.client.loop_thread import loop_thread, stop_loop_thread
from mq.client.sync import SyncProducer, SyncTransactionProducer
from mq.client.sync_consumers import SyncLitePullConsumer
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.test_producer import read, read_all
from mq.client.tests.test_push_consumer import committed, consumer_of, send_all
from mq.errors import AlreadyStopped, InvalidMessage, NoRoute
from mq.message import Message, ReceivedMessage


@pytest.fixture(autouse=True)
def stopped_at_the_end() -> Iterator[None]:
    yield
    stop_loop_thread()


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """The broker of these tests lives in this loop, so blocking calls must not block it."""
    return await asyncio.to_thread(function, *arguments)


async def run_script(script: str, *arguments: str) -> Any:
    command = [sys.executable, "-c", script, *arguments]
    return await in_thread(lambda: subprocess.run(command, capture_output=True, text=True, timeout=30, check=False))


class TestSyncProducer:
    async def test_starts_with_its_first_message(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        producer = SyncProducer("orders", namesrv=cluster.namesrv)

        result = await in_thread(producer.send, Message(topic, b"placed", keys=("4711",)))

        stored = await read(cluster, result)
        assert (stored.body, stored.keys, stored.message_id) == (b"placed", ("4711",), result.message_id)

    async def test_serves_many_threads_at_once(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        producer = SyncProducer("orders", namesrv=cluster.namesrv)

        def send_many() -> None:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda number: producer.send(Message(topic, b"%d" % number)), range(800)))

        await in_thread(send_many)

        assert sorted(int(message.body) for message in await read_all(cluster, topic)) == list(range(800))

    async def test_offers_every_way_to_send(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=4)
        with SyncProducer("orders", namesrv=cluster.namesrv) as producer:
            queues = await in_thread(producer.queues, topic)
            await in_thread(lambda: producer.send(Message(topic, b"0"), queue=queues[0]))
            await in_thread(lambda: producer.send(Message(topic, b"1"), selector=lambda queues, message: queues[1]))
            await in_thread(lambda: producer.send_batch([Message(topic, b"2"), Message(topic, b"3")], queue=queues[2]))
            await in_thread(lambda: producer.send_oneway(Message(topic, b"4"), queue=queues[3]))
            await in_thread(lambda: producer.send(Message(topic, b"5"), queue=queues[3]))
            stored = await read_all(cluster, topic)
            await in_thread(producer.stop)

        assert [(message.queue_id, message.body) for message in stored] == [
            (0, b"0"), (1, b"1"), (2, b"2"), (2, b"3"), (3, b"4"), (3, b"5"),
        ]  # fmt: skip

    async def test_raises_in_the_thread_that_called(self) -> None:
        producer = SyncProducer("orders", namesrv="127.0.0.1:1")

        with pytest.raises(InvalidMessage):
            await in_thread(producer.send, Message("topic", b""))
        with pytest.raises(NoRoute):
            await in_thread(producer.send, Message("topic", b"x"))

    async def test_once_stopped_sends_only_after_another_start(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        producer = SyncProducer("orders", namesrv=cluster.namesrv)
        await in_thread(producer.send, Message(topic, b"x"))
        await in_thread(producer.stop)

        with pytest.raises(AlreadyStopped):
            await in_thread(producer.send, Message(topic, b"x"))
        await in_thread(producer.start)
        await in_thread(producer.send, Message(topic, b"x"))

    def test_refuses_to_wait_for_itself(self) -> None:
        producer = SyncProducer("orders", namesrv="127.0.0.1:1")

        async def inside() -> None:
            producer.send(Message("topic", b"x"))

        with pytest.raises(RuntimeError, match="asyncio classes"):
            loop_thread().call(inside)

    async def test_importing_it_starts_nothing(self) -> None:
        script = "import threading, mq.client.sync as s; s.SyncProducer('g'); print(threading.active_count())"

        done = await run_script(script)

        assert done.stdout.strip() == "1"

    async def test_lets_a_process_end_that_forgot_to_stop_it(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)
        script = (
            "from mq.client.sync import SyncProducer; from mq.message import Message;"
            f"p = SyncProducer('g', namesrv={cluster.namesrv!r});"
            f"p.send(Message({topic!r}, b'awaited')); p.send_oneway(Message({topic!r}, b'one way'))"
        )

        done = await run_script(script)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert [message.body for message in await read_all(cluster, topic)] == [b"awaited", b"one way"]


FORKING = """
import os, sys
from mq.client.loop_thread import loop_thread
from mq.client.sync import SyncProducer
from mq.message import Message

producer = SyncProducer("orders", namesrv=sys.argv[1])
send = lambda body: producer.send(Message(sys.argv[2], body))
sockets = lambda: sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in os.listdir("/proc/self/fd")
                      if os.path.exists(f"/proc/self/fd/{fd}"))
send(b"parent before")
child = os.fork()
if child == 0:
    print("sockets of the child at first:", sockets(), flush=True)
    send(b"child")
    sys.exit(0)
print("status of the child:", os.waitpid(child, 0)[1])
send(b"parent after")
"""


class TestFork:
    async def test_gives_the_child_a_client_of_its_own_and_leaves_the_parents_alone(self, cluster: Cluster) -> None:
        topic = await cluster.topic(queue_count=1)

        done = await run_script(FORKING, cluster.namesrv, topic)

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["sockets of the child at first: 0", "status of the child: 0"]
        assert [message.body for message in await read_all(cluster, topic)] == [
            b"parent before",
            b"child",
            b"parent after",
        ]


class TestSyncTransactionProducer:
    async def test_runs_the_work_in_the_calling_thread(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        threads: list[threading.Thread] = []

        def work(message: Message) -> TransactionState:
            threads.append(threading.current_thread())
            return TransactionState.COMMIT if message.body == b"yes" else TransactionState.ROLLBACK

        def check(message: ReceivedMessage) -> TransactionState:
            raise AssertionError("nobody should have to ask")

        inbox = Inbox()
        producer = SyncTransactionProducer(cluster.name("orders"), check=check, namesrv=cluster.namesrv)
        async with consumer_of(cluster, topic, inbox):
            for body in (b"no", b"yes"):
                await in_thread(producer.send_in_transaction, Message(topic, body), work)
            await inbox.wait_for(1)
        await in_thread(producer.stop)

        assert inbox.bodies == [b"yes"]
        assert all("mq-client" not in thread.name for thread in threads)


class TestSyncRequest:
    async def test_waits_for_the_reply(self, cluster: Cluster) -> None:
        topic = await cluster.topic()
        producer = SyncProducer("askers", namesrv=cluster.namesrv)

        def answer(messages: list[ReceivedMessage]) -> None:
            for message in messages:
                producer.reply(message, b"the price of " + message.body)

        async with consumer_of(cluster, topic, answer):
            reply = await in_thread(lambda: producer.request(Message(topic, b"tea"), timeout_s=20))

        assert reply.body == b"the price of tea"


class TestSyncLitePullConsumer:
    async def test_reads_commits_and_goes_back(self, cluster: Cluster) -> None:
        topic, group = await cluster.topic(queue_count=1), cluster.name("group")
        await send_all(cluster, *(Message(topic, b"%d" % number) for number in range(20)))

        def read_twice() -> tuple[list[bytes], list[bytes], int | None]:
            options = {"namesrv": cluster.namesrv, "settings": FAST, "from_where": ConsumeFromWhere.FIRST_OFFSET}
            with SyncLitePullConsumer(group, poll_batch=20, **options) as consumer:
                consumer.subscribe(topic)
                first = consumer.poll(20)
                consumer.commit()
                (queue,) = consumer.assignment
                consumer.pause(queue)
                nothing = consumer.poll(0.05)
                consumer.seek(queue, 5)
                consumer.resume(queue)
                again = consumer.poll(20)
                assert nothing == []
                return [each.body for each in first], [each.body for each in again], consumer.committed_offset(queue)

        first, again, committed_offset = await in_thread(read_twice)

        assert first[:3] == [b"0", b"1", b"2"]
        assert again[0] == b"5"
        assert committed_offset in (5, len(first))
        assert await committed(cluster, group, topic) == 5 + len(again)

    async def test_is_to_be_started_where_it_is_used(self) -> None:
        with pytest.raises(AlreadyStopped, match="start"):
            SyncLitePullConsumer("reports", namesrv="127.0.0.1:1").poll()
