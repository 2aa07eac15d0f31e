"""The broker as a whole: how it starts, refuses to start, and stops."""

import socket

import pytest

from mq.broker.tests.wire import Wire, bodies, start_broker
from mq.errors import StoreUnusable
from mq.remoting.codes import ResponseCode
from mq.remoting.headers import PullSysFlag


class TestStart:
    async def test_on_a_taken_port_fails_and_leaves_the_store_clean(self, tmp_path):
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
            await start_broker(tmp_path, listen_port=taken.getsockname()[1])

        assert not (tmp_path / "abort").exists()
        broker = await start_broker(tmp_path)
        await broker.stop()

    async def test_on_a_store_that_is_in_use_is_refused(self, tmp_path):
        first = await start_broker(tmp_path)

        with pytest.raises(StoreUnusable):
            await start_broker(tmp_path)

        wire = Wire(first)
        assert (await wire.send("order-events")).code == 0
        await wire.close()
        await first.stop()

    async def test_finds_everything_that_was_acknowledged_before_the_stop(self, tmp_path):
        first = await start_broker(tmp_path)
        wire = Wire(first)
        for number in range(10):
            await wire.send("order-events", b"%d" % number)
        await wire.close()
        await first.stop()

        second = await start_broker(tmp_path)
        wire = Wire(second)

        assert bodies(await wire.pull("order-events")) == [b"%d" % number for number in range(10)]
        await wire.close()
        await second.stop()


class TestStop:
    async def test_answers_messages_and_pulls_that_are_under_way(self, tmp_path):
        broker = await start_broker(tmp_path)
        wire = Wire(broker)
        await wire.create_topic("order-events")
        connection = await wire.connection()
        flags = PullSysFlag.SUSPEND
        pull = connection.call(wire.pull_request("order-events", queue_id=1, sys_flag=flags), 5.0)
        sends = [connection.call(wire.send_request("order-events"), 5.0) for _ in range(100)]
        await wire.consumer_ids("nobody")  # answered when the broker has all of the above
        assert len(broker.long_polling) == 1

        await broker.stop()

        assert [(await answer).code for answer in sends] == [0] * 100
        assert (await pull).code == ResponseCode.PULL_NOT_FOUND
        assert not (tmp_path / "abort").exists()
        await wire.close()

    async def test_closes_the_store_cleanly_when_offsets_cannot_be_written(self, tmp_path, caplog):
        broker = await start_broker(tmp_path, consumer_offset_flush_interval_ms=3_600_000)
        wire = Wire(broker)
        await wire.send("order-events")
        await wire.close()
        broker.offsets.commit("shipping", "order-events", 0, 1)
        (tmp_path / "config" / "consumerOffset.json.new").mkdir()  # the draft cannot be made

        await broker.stop()

        assert "some messages may be consumed twice" in caplog.text
        assert not (tmp_path / "abort").exists()

    async def test_goes_on_when_a_service_fails(self, tmp_path, monkeypatch, caplog):
        broker = await start_broker(tmp_path)

        async def fail():
            raise RuntimeError("nobody foresaw this")

        monkeypatch.setattr(broker.statistics, "stop", fail)

        await broker.stop()

        assert "Statistics did not stop as it should" in caplog.text
        assert not (tmp_path / "abort").exists()


class TestBrokerThatMayNotBeRead:
    async def test_refuses_pulls(self, tmp_path):
        broker = await start_broker(tmp_path, permission=2)
        wire = Wire(broker)
        await wire.create_topic("order-events")

        assert (await wire.pull("order-events")).code == ResponseCode.NO_PERMISSION
        await wire.close()
        await broker.stop()
