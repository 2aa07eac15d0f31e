"""Groups in which every member gets every message."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from mq import dialect
from mq.client import Client, ConsumeFromWhere, MessageModel, PushConsumer
from mq.client.broker_calls import BrokerCalls
from mq.client.handlers import Handler
from mq.client.local_offset_store import LocalOffsetsUnusable
from mq.client.tests.conftest import FAST, Cluster, Inbox
from mq.client.tests.test_push_consumer import send_all
from mq.message import Message, ReceivedMessage
from mq.remoting.codes import RequestCode


class Members:
    """Members of one broadcasting group, each with a client and a file of its own."""

    def __init__(self, cluster: Cluster, topic: str, folder: Path) -> None:
        self._cluster = cluster
        self._topic = topic
        self.folder = folder
        self.group = cluster.name("group")

    def member(self, handler: Handler, name: str = "one", **options: Any) -> PushConsumer:
        client = Client(self._cluster.namesrv, settings=FAST, instance_name=name)
        options = {"from_where": ConsumeFromWhere.FIRST_OFFSET, "offsets_folder": self.folder, **options}
        consumer = PushConsumer(
            self.group, client=client, handler=handler, message_model=MessageModel.BROADCASTING, **options
        )
        consumer.subscribe(self._topic)
        return consumer

    def file(self, name: str = "one") -> Path:
        (path,) = self.folder.glob(f"*@{name}/{self.group}/offsets.json")
        return path


@pytest.fixture
async def topic(cluster: Cluster) -> str:
    return await cluster.topic(queue_count=2)


@pytest.fixture
def members(cluster: Cluster, topic: str, tmp_path: Path) -> Members:
    return Members(cluster, topic, tmp_path / "offsets")


def numbered(topic: str, *numbers: int) -> list[Message]:
    return [Message(topic, b"%d" % number) for number in numbers]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def table(path: Path) -> dict[str, int]:
    """Offsets by queue as the file has them; Java's objects as keys."""
    read = dialect.loads(path.read_bytes())["offsetTable"]
    return {f"{json.loads(key)['topic']}/{json.loads(key)['queueId']}": offset for key, offset in read.items()}


class TestBroadcasting:
    async def test_gives_every_message_to_every_member(self, cluster: Cluster, topic: str, members: Members) -> None:
        first, second = Inbox(), Inbox()

        async with members.member(first, "one"), members.member(second, "two"):
            await send_all(cluster, *numbered(topic, *range(10)))
            await first.wait_for(10)
            await second.wait_for(10)

        assert sorted(first.bodies) == sorted(second.bodies) == [b"%d" % number for number in range(10)]

    async def test_goes_on_where_this_member_stopped(self, cluster: Cluster, topic: str, members: Members) -> None:
        before, after, other = Inbox(), Inbox(), Inbox()
        async with members.member(before):
            await send_all(cluster, *numbered(topic, 0, 1, 2))
            await before.wait_for(3)
        await send_all(cluster, *numbered(topic, 3, 4))

        async with members.member(after), members.member(other, "new"):
            await after.wait_for(2)
            await other.wait_for(5)

        assert sorted(after.bodies) == [b"3", b"4"]
        assert sum(table(members.file()).values()) == 5

    async def test_tells_brokers_of_no_offset_lock_member_or_failure(
        self, cluster: Cluster, topic: str, members: Members, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: set[int] = set()
        call = BrokerCalls.call

        async def spy(self: BrokerCalls, address: str, code: RequestCode, *rest: Any, **named: Any) -> Any:
            asked.add(code)
            return await call(self, address, code, *rest, **named)

        monkeypatch.setattr(BrokerCalls, "call", spy)
        inbox = Inbox()

        async def fail(messages: list[ReceivedMessage]) -> None:
            await inbox(messages)
            raise RuntimeError("whatever")

        async with members.member(fail, orderly=False):
            await send_all(cluster, *numbered(topic, 0, 1))
            await inbox.wait_for(2)

        assert asked <= {RequestCode.HEART_BEAT, RequestCode.UNREGISTER_CLIENT}

    async def test_drops_what_its_handler_failed_at(
        self, cluster: Cluster, topic: str, members: Members, caplog: pytest.LogCaptureFixture
    ) -> None:
        inbox = Inbox()

        async def fail(messages: list[ReceivedMessage]) -> None:
            await inbox(messages)
            if messages[0].body == b"0":
                raise RuntimeError("whatever")

        async with members.member(fail):
            await send_all(cluster, *numbered(topic, 0, 1))
            await inbox.wait_for(2)

        assert sum(table(members.file()).values()) == 2
        assert "drops message" in caplog.text

    async def test_in_order_needs_no_lock(self, cluster: Cluster, members: Members, tmp_path: Path) -> None:
        topic = await cluster.topic(queue_count=1)
        ordered = Members(cluster, topic, tmp_path / "ordered")
        first, second = Inbox(), Inbox()

        async with ordered.member(first, "one", orderly=True), ordered.member(second, "two", orderly=True):
            await send_all(cluster, *numbered(topic, *range(10)))
            await first.wait_for(10)
            await second.wait_for(10)

        assert first.bodies == second.bodies == [b"%d" % number for number in range(10)]

    async def test_may_begin_at_a_moment(self, cluster: Cluster, topic: str, members: Members) -> None:
        await send_all(cluster, *numbered(topic, 0, 1))
        moment_ms = now_ms() + 1
        while now_ms() < moment_ms:  # under a millisecond
            pass
        await send_all(cluster, *numbered(topic, 2))
        inbox = Inbox()

        async with members.member(inbox, from_where=ConsumeFromWhere.TIMESTAMP, from_timestamp_ms=moment_ms):
            await inbox.wait_for(1)

        assert inbox.bodies == [b"2"]


class TestOffsetsFile:
    async def test_of_java_is_read_and_its_backup_too(self, cluster: Cluster, topic: str, members: Members) -> None:
        await send_all(cluster, *numbered(topic, 0, 1, 2, 3))
        async with members.member(Inbox()):
            path = next(members.folder.rglob("*.lock")).with_name("offsets.json")
        entries = [f'{{"brokerName":"{cluster.broker_name}","queueId":{id_},"topic":"{topic}"}}:2' for id_ in (0, 1)]
        path.with_name("offsets.json.bak").write_text('{\n\t"offsetTable":{' + ",\n\t\t".join(entries) + "\n\t}\n}")
        path.write_bytes(b"")
        inbox = Inbox()

        async with members.member(inbox):
            await send_all(cluster, *numbered(topic, 4, 5))
            await inbox.wait_for(2)

        assert sorted(inbox.bodies) == [b"4", b"5"]

    async def test_that_is_broken_is_named(self, members: Members) -> None:
        async with members.member(Inbox()):
            lock = next(members.folder.rglob("*.lock"))
        for name in ("offsets.json", "offsets.json.bak"):
            lock.with_name(name).write_text("{")

        with pytest.raises(LocalOffsetsUnusable, match=r"offsets\.json: .*; remove it to begin anew"):
            await members.member(Inbox()).start()

    async def test_is_nobody_elses(self, members: Members) -> None:
        async with members.member(Inbox()):
            with pytest.raises(LocalOffsetsUnusable, match="belongs to another consumer"):
                await members.member(Inbox()).start()
        async with members.member(Inbox()):
            pass
