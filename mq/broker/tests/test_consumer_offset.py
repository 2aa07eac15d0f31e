"""Offsets: committed, asked for, kept; and where queues begin and end."""

import dataclasses

import msgspec
import pytest

from mq.broker.tests.wire import Wire, start_broker
from mq.clock import ManualClock
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import QueueRequestHeader, SearchOffsetRequestHeader, UpdateConsumerOffsetRequestHeader


async def query(wire: Wire, **changes) -> RemotingCommand:
    header = {"consumerGroup": "orders", "topic": "order-events", "queueId": "0"} | changes
    return await wire.call(RequestCode.QUERY_CONSUMER_OFFSET, header)


async def update(wire: Wire, commit_offset: int, **changes) -> RemotingCommand:
    header = UpdateConsumerOffsetRequestHeader(
        consumer_group="orders", topic="order-events", queue_id=0, commit_offset=commit_offset
    )
    return await wire.call(RequestCode.UPDATE_CONSUMER_OFFSET, msgspec.structs.replace(header, **changes))


async def prepare(wire: Wire) -> None:
    await wire.create_topic("order-events")
    await wire.heartbeat("orders", {"order-events": "*"})


class TestConsumerOffset:
    async def test_is_what_was_committed_last(self, wire: Wire):
        await prepare(wire)

        assert (await update(wire, 7)).code == 0
        assert (await update(wire, 5)).code == 0

        assert (await query(wire)).ext_fields == {"offset": "5"}

    async def test_is_zero_for_a_new_group_on_a_young_queue(self, wire: Wire):
        await wire.send("order-events")

        assert (await query(wire)).ext_fields == {"offset": "0"}

    async def test_is_not_found_for_a_new_group_when_the_client_wants_to_know(self, wire: Wire):
        await wire.send("order-events")

        assert (await query(wire, setZeroIfNotFound="false")).code == ResponseCode.QUERY_NOT_FOUND

    async def test_is_not_found_on_an_empty_queue(self, wire: Wire):
        await wire.create_topic("order-events")

        assert (await query(wire)).code == ResponseCode.QUERY_NOT_FOUND

    async def test_never_becomes_negative(self, wire: Wire):
        await prepare(wire)
        await update(wire, 7)

        assert (await update(wire, -1)).code == 0

        assert (await query(wire)).ext_fields == {"offset": "7"}

    async def test_is_committed_by_oneway_requests_too(self, wire: Wire):
        await prepare(wire)
        header = UpdateConsumerOffsetRequestHeader(
            consumer_group="orders", topic="order-events", queue_id=0, commit_offset=9
        )

        (await wire.connection()).send_oneway(RemotingCommand.request(RequestCode.UPDATE_CONSUMER_OFFSET, header))

        assert (await query(wire)).ext_fields == {"offset": "9"}

    async def test_refuses_what_does_not_exist(self, wire: Wire):
        await prepare(wire)

        assert (await update(wire, 1, topic="nobody-knows")).code == ResponseCode.TOPIC_NOT_EXIST
        assert (await update(wire, 1, consumer_group="nobody")).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
        assert (await update(wire, 1, queue_id=4)).code == ResponseCode.INVALID_PARAMETER

    async def test_survives_a_restart(self, tmp_path):
        first = await start_broker(tmp_path)
        wire = Wire(first)
        await prepare(wire)
        await update(wire, 7)
        await wire.close()
        await first.stop()

        second = await start_broker(tmp_path)

        assert second.offsets.get("orders", "order-events", 0) == 7
        assert second.groups.get("orders") is not None
        await second.stop()

    async def test_is_read_from_rocketmqs_own_file(self, tmp_path):
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "consumerOffset.json").write_text(
            '{\n\t"dataVersion":{"counter":1},\n\t"offsetTable":{"order-events@orders":{0:5,1:7\n\t\t}}}'
        )

        broker = await start_broker(tmp_path)

        assert [broker.offsets.get("orders", "order-events", queue_id) for queue_id in range(3)] == [5, 7, -1]
        await broker.stop()

    async def test_is_written_while_the_broker_runs(self, tmp_path):
        broker = await start_broker(tmp_path, consumer_offset_flush_interval_ms=10)
        wire = Wire(broker)
        await prepare(wire)
        await update(wire, 7)

        while not (tmp_path / "config" / "consumerOffset.json").exists():
            await query(wire)

        await wire.close()
        await broker.stop()


class TestQueueBounds:
    @pytest.fixture
    async def filled(self, wire: Wire) -> Wire:
        """Five messages, a second apart."""
        clock = wire.broker.clock
        assert isinstance(clock, ManualClock)
        for _ in range(5):
            await wire.send("order-events")
            clock.advance(1000)
        return wire

    async def test_are_known_for_each_queue(self, filled: Wire):
        queue = QueueRequestHeader(topic="order-events", queue_id=0)

        assert (await filled.call(RequestCode.GET_MIN_OFFSET, queue)).ext_fields == {"offset": "0"}
        assert (await filled.call(RequestCode.GET_MAX_OFFSET, queue)).ext_fields == {"offset": "5"}
        earliest = await filled.call(RequestCode.GET_EARLIEST_MSG_STORETIME, queue)
        assert earliest.ext_fields == {"timestamp": "1700000000000"}

    async def test_of_an_unknown_queue_are_zero(self, wire: Wire):
        queue = QueueRequestHeader(topic="nobody-knows", queue_id=3)

        assert (await wire.call(RequestCode.GET_MIN_OFFSET, queue)).ext_fields == {"offset": "0"}
        assert (await wire.call(RequestCode.GET_MAX_OFFSET, queue)).ext_fields == {"offset": "0"}
        earliest = await wire.call(RequestCode.GET_EARLIEST_MSG_STORETIME, queue)
        assert earliest.ext_fields == {"timestamp": "-1"}

    @pytest.mark.parametrize(
        ("seconds", "boundary", "expected"),
        [
            (2.0, "LOWER", "2"),
            (2.5, "LOWER", "3"),
            (2.0, None, "2"),
            (9.0, "LOWER", "5"),
            (-1.0, "LOWER", "0"),
            (2.0, "UPPER", "2"),
            (2.5, "upper", "2"),
            (9.0, "UPPER", "4"),
            (-1.0, "UPPER", "0"),
        ],
    )
    async def test_are_found_by_time(self, filled: Wire, seconds, boundary, expected):
        header = SearchOffsetRequestHeader(
            topic="order-events",
            queue_id=0,
            timestamp=1_700_000_000_000 + int(seconds * 1000),
            boundary_type=boundary,
        )

        response = await filled.call(RequestCode.SEARCH_OFFSET_BY_TIMESTAMP, header)

        assert response.ext_fields == {"offset": expected}


class TestGroupsThatAreNotCreated:
    async def test_by_a_heartbeat_have_no_offsets(self, wire: Wire):
        wire.broker.config = dataclasses.replace(wire.broker.config, auto_create_group=False)
        await prepare(wire)

        assert (await update(wire, 1)).code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
