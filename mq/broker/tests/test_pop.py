"""Consuming by POP: who gets what, what comes again and when, and what outlives a crash."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mq.broker.app import Broker
from mq.broker.check_points import REVIVE_GROUP, PopCheckPoint
from mq.broker.pop import MAX_INVISIBLE_MS
from mq.broker.tests.popping import INVISIBLE_MS, PopConsumer, pass_time
from mq.broker.tests.wire import Wire, messages, start_broker, until
from mq.message import record
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.headers import AckMessageRequestHeader

RETRIES = "%RETRY%orders_order-events"


@pytest.fixture
async def consumer(wire: Wire) -> PopConsumer:
    await wire.create_topic("order-events", 2)
    return PopConsumer(wire)


async def send(wire: Wire, *bodies: bytes, **changes: Any) -> None:
    for body in bodies:
        response = await wire.send("order-events", body, **changes)
        assert response.code == 0


class TestPopping:
    async def test_gives_messages_of_all_queues(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", queue_id=0)
        await send(wire, b"paid", queue_id=1)

        assert await consumer.bodies() == [b"paid", b"placed"]

    async def test_gives_a_message_to_one_of_two_members(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", b"paid", b"packed")

        first, second = await asyncio.gather(consumer.bodies(max_msg_nums=2), consumer.bodies(max_msg_nums=2))

        assert sorted(first + second) == [b"packed", b"paid", b"placed"]

    async def test_gives_every_group_all_messages(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")

        assert await consumer.bodies() == [b"placed"]
        assert await PopConsumer(wire, "billing").bodies() == [b"placed"]

    async def test_of_one_queue_leaves_the_others(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", queue_id=0)
        await send(wire, b"paid", queue_id=1)

        assert await consumer.bodies(queue_id=1) == [b"paid"]

    async def test_tells_how_many_are_left(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", b"paid", b"packed")

        response = await consumer.ask(max_msg_nums=1)

        assert response.ext_fields["restNum"] == "2"
        assert response.ext_fields["msgOffsetInfo"] == "0 0 0"

    async def test_skips_what_the_tags_do_not_want(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", tag="A")
        await send(wire, b"paid", tag="B")

        assert await consumer.bodies(exp="B", exp_type="TAG") == [b"paid"]
        assert await consumer.bodies(exp="B", exp_type="TAG") == []

    async def test_by_a_new_group_that_wants_the_newest_begins_with_the_last(
        self, wire: Wire, consumer: PopConsumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ):
        await send(wire, b"placed", b"paid")
        monkeypatch.setattr(broker.offsets, "is_young", lambda topic, queue_id: False)

        assert await consumer.bodies(init_mode=1) == [b"paid"]

    async def test_goes_where_the_groups_offset_was_reset_to(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed", b"paid")
        assert await consumer.bodies() == [b"paid", b"placed"]

        broker.offsets.reset("orders", "order-events", {0: 0})

        assert await consumer.bodies() == [b"paid", b"placed"]
        assert await consumer.bodies() == []

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"order": True, "attempt_id": "x" * 257}, ResponseCode.INVALID_PARAMETER),
            ({"topic": "nothing"}, ResponseCode.TOPIC_NOT_EXIST),
            ({"queue_id": 2}, ResponseCode.INVALID_PARAMETER),
            ({"invisible_time": 0}, ResponseCode.INVALID_PARAMETER),
            ({"invisible_time": MAX_INVISIBLE_MS + 1}, ResponseCode.INVALID_PARAMETER),
            ({"exp": "price >", "exp_type": "SQL92"}, ResponseCode.SUBSCRIPTION_PARSE_FAILED),
            ({"consumer_group": "or/ders"}, ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST),
        ],
    )
    async def test_refuses(self, consumer: PopConsumer, changes: dict[str, object], code: ResponseCode):
        assert (await consumer.ask(**changes)).code == code


class TestWaiting:
    async def test_without_time_is_answered_at_once(self, consumer: PopConsumer):
        assert (await consumer.ask()).code == ResponseCode.POLLING_TIMEOUT

    async def test_ends_when_its_time_is_up(self, consumer: PopConsumer):
        assert (await consumer.ask(poll_time=30)).code == ResponseCode.POLLING_TIMEOUT

    async def test_ends_with_a_message(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        waiting = asyncio.create_task(consumer.bodies(poll_time=5000))
        await until(lambda: len(broker.pop.polling) == 1)

        await send(wire, b"placed")

        assert await waiting == [b"placed"]
        assert len(broker.pop.polling) == 0

    async def test_goes_on_when_the_filter_does_not_want_the_message(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        waiting = asyncio.create_task(consumer.bodies(poll_time=5000, exp="B", exp_type="TAG"))
        await until(lambda: len(broker.pop.polling) == 1)

        await send(wire, b"placed", tag="A")
        assert len(broker.pop.polling) == 1
        await send(wire, b"paid", tag="B")

        assert await waiting == [b"paid"]

    async def test_ends_with_a_message_that_comes_again(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        await consumer.pop()
        waiting = asyncio.create_task(consumer.bodies(poll_time=5000))
        await until(lambda: len(broker.pop.polling) == 1)

        await pass_time(broker, INVISIBLE_MS)

        assert await waiting == [b"placed"]

    async def test_of_a_client_that_left_takes_nothing(
        self, new_wire: Callable[..., Wire], consumer: PopConsumer, broker: Broker
    ):
        wire = new_wire()
        waiting = asyncio.create_task(PopConsumer(wire).ask(poll_time=5000))
        await until(lambda: len(broker.pop.polling) == 1)
        await wire.close()
        await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: len(broker.pop.polling) == 0)

        await send(new_wire(), b"placed")

        assert await consumer.bodies() == [b"placed"]


class TestTheInvisibleTime:
    async def test_keeps_a_message_from_coming_again_until_it_is_over(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop()

        await pass_time(broker, INVISIBLE_MS - 1)
        assert await consumer.pop() == []
        await pass_time(broker, 1)

        (again,) = await consumer.pop()
        assert again.body == b"placed"
        assert again.message.topic == "order-events"
        assert again.message.reconsume_times == 1
        assert again.message.properties["1ST_POP_TIME"] == "1700000000000"
        assert again.receipt.kind == "1"

    async def test_of_one_of_three_acknowledged_lets_two_come_again(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed", b"paid", b"packed")
        popped = await consumer.pop()
        assert (await consumer.ack(popped[1])).code == 0

        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.bodies() == [b"packed", b"placed"]

    async def test_is_prolonged(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed", b"paid")
        placed, paid = await consumer.pop()
        response = await consumer.change(placed, 60_000)
        assert response.code == 0
        await consumer.ack(paid)

        await pass_time(broker, 59_999)
        assert await consumer.pop() == []
        await pass_time(broker, 2)

        assert await consumer.bodies() == [b"placed"]

    async def test_is_shortened_and_the_new_receipt_acknowledges(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()
        await pass_time(broker, 10)
        fields = (await consumer.change(placed, 1000)).ext_fields
        placed.receipt = placed.receipt._replace(start_offset=0, pop_time_ms=int(fields["popTime"]), invisible_ms=1000)

        assert (await consumer.ack(placed)).code == 0
        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop() == []

    async def test_cannot_be_changed_when_the_message_is_acknowledged(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()
        await consumer.ack(placed)

        assert (await consumer.change(placed, 1000)).code == ResponseCode.NO_MESSAGE

    async def test_is_a_minute_longer_while_there_is_no_room_for_a_retry_topic(
        self, wire: Wire, consumer: PopConsumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ):
        await send(wire, b"placed")
        await consumer.pop()
        with monkeypatch.context() as full:
            full.setattr("mq.broker.topic_config.MAX_TOPICS", 1)
            await pass_time(broker, INVISIBLE_MS)
        assert await consumer.pop() == []

        await pass_time(broker, 60_000)

        assert await consumer.bodies() == [b"placed"]


class TestAcknowledging:
    @pytest.mark.parametrize("how", ["one by one", "all at once"])
    async def test_ends_it_for_the_group(self, wire: Wire, consumer: PopConsumer, broker: Broker, how: str):
        await send(wire, b"placed", b"paid", b"packed")
        popped = await consumer.pop()
        if how == "all at once":
            assert (await consumer.ack_all(popped)).code == 0
        else:
            for each in popped:
                assert (await consumer.ack(each)).code == 0

        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop() == []
        assert len(broker.revive) == 0

    async def test_a_retry_ends_it(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)
        again = await consumer.pop()
        assert (await consumer.ack_all(again)).code == 0

        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop() == []

    async def test_in_time_counts_though_the_disk_is_slow(
        self, wire: Wire, consumer: PopConsumer, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ):
        """Guarded by `pending.left - pending.on_its_way` in `ReviveService._revive`."""
        await send(wire, b"placed")
        (placed,) = await consumer.pop()
        may_go_on, log = threading.Event(), broker.store._log
        monkeypatch.setattr(broker.store._commit, "mean_sync_s", 1.0)  # so that a thread waits for the disk
        monkeypatch.setattr(log, "sync", lambda stretches, sync=log.sync: may_go_on.wait(10) and sync(stretches))
        acknowledging = asyncio.create_task(consumer.ack(placed))
        await until(lambda: broker.store._commit._in_flight is not None)

        broker.clock.advance(INVISIBLE_MS)  # type: ignore[attr-defined]
        reviving = asyncio.create_task(broker.revive.round())
        await asyncio.wait([reviving], timeout=0.05)
        may_go_on.set()

        assert (await acknowledging).code == 0
        await reviving
        await pass_time(broker, 1000)
        assert await consumer.pop() == []
        assert len(broker.revive) == 0

    async def test_too_late_is_no_error(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)

        assert (await consumer.ack(placed)).code == 0
        assert await consumer.bodies() == [b"placed"]

    async def test_takes_the_receipts_of_rocketmqs_proxy(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()

        assert (await consumer.ack(placed, extra_info=f"{placed.receipt} 0")).code == 0
        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop() == []

    async def test_refuses_what_is_no_receipt(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()

        for words in ("", "0 1 2", "0 1 2 3 0 broker-a 0 -1", "x 1 2 3 0 broker-a 0 0", "9" * 30 + " 1 2 3 0 b 0 0"):
            assert (await consumer.ack(placed, extra_info=words)).code == ResponseCode.MESSAGE_ILLEGAL

    async def test_refuses_offsets_and_queues_that_are_not_there(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()

        assert (await consumer.ack(placed, offset=1)).code == ResponseCode.NO_MESSAGE
        assert (await consumer.ack(placed, queue_id=2)).code == ResponseCode.MESSAGE_ILLEGAL
        assert (await consumer.ack(placed, topic="nothing")).code == ResponseCode.TOPIC_NOT_EXIST

    async def test_refuses_batches_without_sense(self, wire: Wire, consumer: PopConsumer):
        async def batch(text: bytes) -> int:
            return (await wire.call(RequestCode.BATCH_ACK_MESSAGE, body=text)).code

        entry = {"c": "orders", "t": "order-events", "r": "0", "so": 0, "q": 0, "rq": 0, "pt": 1, "it": 1, "b": "!"}

        assert await batch(b"") == ResponseCode.NO_MESSAGE
        assert await batch(json.dumps({"acks": [entry]}).encode()) == ResponseCode.MESSAGE_ILLEGAL
        assert await batch(json.dumps({"acks": [entry | {"r": "7", "b": "AQ=="}]}).encode()) == 13
        assert await batch(json.dumps({"acks": [entry | {"b": "AQ=="}]}).encode()) == 0  # long over


class TestWhatFailsAgainAndAgain:
    async def test_is_a_dead_letter_after_its_sixteenth_retry(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        for times in range(17):
            (popped,) = await consumer.pop()
            assert popped.message.reconsume_times == times
            await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop() == []
        (dead,) = messages(await wire.pull("%DLQ%orders"))
        assert dead.body == b"placed"
        assert dead.properties["RETRY_TOPIC"] == "order-events"
        assert len(broker.revive) == 0


class TestRetriesUnderTheirSecondName:
    async def test_come_beside_those_under_the_first_and_are_acknowledged_with_them(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)
        broker.reconfigure(dataclasses.replace(broker.config, retry_topic_v2=True))
        await send(wire, b"paid")
        assert await consumer.bodies() == [b"paid", b"placed"]
        await pass_time(broker, INVISIBLE_MS)

        popped = await consumer.pop()
        assert (await consumer.ack_all(popped)).code == 0
        await pass_time(broker, INVISIBLE_MS)

        assert {each.body: each.receipt.kind for each in popped} == {b"placed": "1", b"paid": "2"}
        assert broker.topics.get("%RETRY%orders+order-events") is not None
        assert await consumer.pop() == []


class TestTheReviveLog:
    async def test_is_closed_to_clients(self, wire: Wire):
        response = await wire.send("rmq_sys_REVIVE_LOG_DefaultCluster", b"{}")

        assert response.code == ResponseCode.NO_PERMISSION

    async def test_has_check_points_and_acknowledgements_as_rocketmq_writes_them(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed", b"paid")
        popped = await consumer.pop()
        await consumer.ack(popped[0])

        log = broker.revive.topic
        (queue_id,) = [each for each in range(8) if broker.store.max_offset(log, each)]
        point, ack = map(record.decode, broker.store.get(log, queue_id, 0, max_count=9, max_bytes=9999).records)
        assert (point.properties["TAGS"], ack.properties["TAGS"]) == ("ck", "ack")
        assert json.loads(point.body) == {
            "bm": 0,
            "bn": "broker-a",
            "c": "orders",
            "d": [0, 1],
            "it": INVISIBLE_MS,
            "n": 2,
            "pt": 1_700_000_000_000,
            "q": 0,
            "ro": 0,
            "so": 0,
            "t": "order-events",
        }
        assert json.loads(ack.body) == {
            "ao": 0,
            "bn": "broker-a",
            "c": "orders",
            "pt": 1_700_000_000_000,
            "q": 0,
            "so": 0,
            "t": "order-events",
        }

    async def test_is_done_up_to_the_first_open_check_point(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        (placed,) = await consumer.pop()
        queue = (REVIVE_GROUP, broker.revive.topic, placed.receipt.revive_queue)
        await broker.revive.round()
        assert broker.offsets.get(*queue) == -1

        await consumer.ack(placed)
        await broker.revive.round()

        assert broker.offsets.get(*queue) == 1


class TestACheckPointUnderWayByTheTimeWheel:
    """RocketMQ, which gave the messages, sent it off so; its receipts come back to us before it does."""

    async def test_is_acknowledged_before_it_is_there(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        """Guarded by `PopAckProcessor._acknowledge_ahead`."""
        assert await consumer.pop() == []  # the group exists
        await send(wire, b"placed", b"paid")
        now_ms = broker.clock.now_ms()
        point = PopCheckPoint("order-events", "orders", 0, 0, now_ms, INVISIBLE_MS, 2, [0, 1], "broker-a")
        broker.revive.append_by_wheel(point, 3, now_ms + INVISIBLE_MS - 1000)
        broker.offsets.commit("orders", "order-events", 0, 2)
        words = f"0 {now_ms} {INVISIBLE_MS} 3 0 broker-a 0 1"
        header = AckMessageRequestHeader("orders", "order-events", 0, words, 1)

        assert (await wire.call(RequestCode.ACK_MESSAGE, header)).code == 0

        log_end = partial(broker.store.max_offset, broker.revive.topic, 3)
        await until(lambda: broker.store.max_offset("rmq_sys_wheel_timer", 0) == 2)
        broker.clock.advance(INVISIBLE_MS + 1000)  # type: ignore[attr-defined]
        await until(lambda: log_end() == 2)
        await pass_time(broker, 1000)
        assert await consumer.bodies() == [b"placed"]


class TestACrash:
    @pytest.fixture
    async def restart(self, broker: Broker, tmp_path: Path):
        """A broker on the files as a killed one leaves them."""
        running: list[tuple[Broker, Wire]] = []

        async def crash_and_restart() -> tuple[Broker, PopConsumer]:
            shutil.copytree(tmp_path / "store", tmp_path / "killed")
            again = await start_broker(tmp_path / "killed", broker.clock)
            wire = Wire(again)
            running.append((again, wire))
            return again, PopConsumer(wire)

        yield crash_and_restart
        for again, wire in running:
            await wire.close()
            await again.stop()

    async def test_loses_no_acknowledgement(
        self, wire: Wire, consumer: PopConsumer, restart: Callable[[], Awaitable[tuple[Broker, PopConsumer]]]
    ):
        await send(wire, b"placed", b"paid")
        placed, _paid = await consumer.pop()
        await consumer.ack(placed)

        again, survivor = await restart()
        assert await survivor.pop() == []
        await pass_time(again, INVISIBLE_MS)

        assert await survivor.bodies() == [b"paid"]

    async def test_gives_nothing_that_is_wholly_acknowledged_once_more(
        self, wire: Wire, consumer: PopConsumer, restart: Callable[[], Awaitable[tuple[Broker, PopConsumer]]]
    ):
        await send(wire, b"placed", b"paid")
        await consumer.ack_all(await consumer.pop())

        again, survivor = await restart()
        await pass_time(again, INVISIBLE_MS)

        assert await survivor.pop() == []

    async def test_gives_what_came_again_only_once(
        self,
        wire: Wire,
        consumer: PopConsumer,
        broker: Broker,
        restart: Callable[[], Awaitable[tuple[Broker, PopConsumer]]],
    ):
        await send(wire, b"placed")
        await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)

        again, survivor = await restart()
        await pass_time(again, INVISIBLE_MS)

        assert await survivor.bodies() == [b"placed"]
        assert await survivor.bodies() == []

    async def test_leaves_a_group_where_it_was_reset_to(
        self,
        wire: Wire,
        consumer: PopConsumer,
        broker: Broker,
        restart: Callable[[], Awaitable[tuple[Broker, PopConsumer]]],
    ):
        await send(wire, b"placed")
        await consumer.pop()
        await broker.revive.round()
        broker.offsets.reset("orders", "order-events", {0: 0})
        broker.offsets.save()

        _again, survivor = await restart()

        assert await survivor.bodies() == [b"placed"]
