"""What one peer, or all of them, may cost the broker: each limit, and the sentence beyond it.

Limits of frames, headers and idle peers: `mq/remoting/tests`; of expressions: `mq/broker/tests`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mq.broker import long_polling, send
from mq.broker.tests.wire import Wire, start_broker
from mq.errors import ConnectionLost, RequestTimeout
from mq.remoting.client import RemotingClient
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import PullSysFlag
from mq.remoting.server import RemotingServer

BUSY = 2


@pytest.fixture
async def wire(tmp_path):
    broker = await start_broker(tmp_path / "store")
    client = Wire(broker)
    yield client
    await client.close()
    await broker.stop()


class TestConnections:
    async def test_beyond_the_limit_are_closed_and_the_others_served(self):
        server = RemotingServer({7: lambda connection, command: command.respond()}, max_connections=2)
        address = str(await server.start("127.0.0.1", 0))
        clients = [RemotingClient() for _ in range(3)]
        for client in clients[:2]:
            assert (await client.invoke(address, RemotingCommand.request(7))).code == 0

        with pytest.raises((ConnectionLost, RequestTimeout)):
            await clients[2].invoke(address, RemotingCommand.request(7))
        assert (await clients[0].invoke(address, RemotingCommand.request(7))).code == 0

        await asyncio.gather(*(client.close() for client in clients))
        await server.stop()


class TestHeldPulls:
    async def pull(self, wire: Wire, queue_id: int) -> asyncio.Task[RemotingCommand]:
        pull = wire.pull("order-events", queue_id=queue_id, sys_flag=PullSysFlag.SUSPEND, suspend_timeout_millis=60_000)
        task = asyncio.create_task(pull)
        await asyncio.sleep(0)
        await wire.consumer_ids("nobody")  # answered behind the pull on the same connection
        return task

    @pytest.mark.parametrize("limit", ["MAX_HELD", "MAX_HELD_PER_CONNECTION"])
    async def test_beyond_the_limit_are_refused_with_the_figures(self, wire, monkeypatch, limit):
        monkeypatch.setattr(long_polling, limit, 2)
        await wire.create_topic("order-events")
        held = [await self.pull(wire, 0), await self.pull(wire, 1)]

        refused = await (await self.pull(wire, 2))

        assert (refused.code, "2 pulls are held" in str(refused.remark)) == (BUSY, True)
        assert not any(task.done() for task in held)
        await wire.send("order-events", queue_id=0)
        assert (await held[0]).code == 0
        again = await self.pull(wire, 3)
        assert not again.done()
        for task in (again, held[1]):
            task.cancel()

    async def test_of_one_connection_leave_room_for_others(self, wire, monkeypatch):
        monkeypatch.setattr(long_polling, "MAX_HELD_PER_CONNECTION", 1)
        await wire.create_topic("order-events")
        other = Wire(wire.broker)

        held = [await self.pull(wire, 0), await self.pull(other, 1)]

        assert not any(task.done() for task in held)
        await other.close()
        with pytest.raises(ConnectionLost):
            await held[1]
        held[0].cancel()


class TestBytesThatWaitForTheDisk:
    async def test_beyond_the_limit_sends_are_refused_until_it_has_caught_up(self, wire, monkeypatch):
        monkeypatch.setattr(send, "MAX_UNSAVED_BYTES", 1000)
        await wire.create_topic("order-events")
        waiting: list[Any] = []
        # A disk that stalls: what is asked to be told when all is durable is told later.
        monkeypatch.setattr(wire.broker.store, "when_durable", waiting.append)
        first = asyncio.create_task(wire.send("order-events", bytes(2000)))
        await asyncio.sleep(0)
        await wire.consumer_ids("nobody")  # answered behind the send on the same connection

        refused = await wire.send("order-events", b"one more")

        assert (refused.code, refused.remark.startswith("[OVERLOAD]")) == (BUSY, True)
        assert wire.broker.store.max_offset("order-events", 0) == 1
        monkeypatch.undo()
        monkeypatch.setattr(send, "MAX_UNSAVED_BYTES", 1000)
        waiting[0](None)
        assert (await first).code == 0
        assert (await wire.send("order-events", b"one more")).code == 0


class TestNames:
    """What stands in a name becomes a folder, a line of a log, a cell of a table."""

    @pytest.mark.parametrize(
        "topic", ["a/b", "../up", "a b", "a.b", "a\x01b", "T" * 128, "日本", "a\nb", "a\x00b", "$x"]
    )
    async def test_of_topics_that_are_not_allowed_are_refused(self, wire, topic, tmp_path):
        before = {path for path in tmp_path.rglob("*") if path.is_dir()}

        assert (await wire.send(topic)).code in (13, 29)
        assert (await wire.create_topic(topic)).code == 29

        assert wire.broker.topics.get(topic) is None
        assert {path for path in tmp_path.rglob("*") if path.is_dir()} == before

    @pytest.mark.parametrize("group", ["a/b", "../up", "a b", "g" * 121, "日本", "a\nb"])
    async def test_of_groups_that_are_not_allowed_are_refused(self, wire, group):
        await wire.create_topic("order-events")

        assert (await wire.pull("order-events", group=group)).code == 26
        await wire.heartbeat(group, {"order-events": "*"})
        assert wire.broker.groups.get(group) is None
        assert wire.broker.topics.get(f"%RETRY%{group}") is None

    @pytest.mark.parametrize(
        "topic",
        [
            *("SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC"),
            *("TRANS_CHECK_MAX_TIME_TOPIC", "rmq_sys_wheel_timer", "rmq_sys_anything", "OFFSET_MOVED_EVENT"),
        ],
    )
    async def test_that_are_the_brokers_own_take_no_messages_from_clients(self, wire, topic):
        response = await wire.send(topic)

        assert response.code == 16
        assert wire.broker.store.max_offset(topic, 0) == 0
        assert (await wire.create_topic(topic)).code == 29
        assert (await wire.call(215, {"topic": topic})).code == 29
