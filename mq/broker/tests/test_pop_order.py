"""Consuming in order by POP: a queue is locked by what was given of it, and goes on where acknowledging stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mq.broker.app import Broker
from mq.broker.order_info import OrderInfo
from mq.broker.pop_receipts import ORDER_QUEUE
from mq.broker.tests.popping import INVISIBLE_MS, PopConsumer, Popped, pass_time
from mq.broker.tests.wire import Wire, start_broker, until
from mq.remoting.codes import RequestCode, ResponseCode
from mq.store import json_files

NOW_MS = 1_700_000_000_000


@pytest.fixture
async def consumer(wire: Wire) -> PopConsumer:
    await wire.create_topic("order-events", 2)
    return PopConsumer(wire)


async def send(wire: Wire, *bodies: bytes, queue_id: int = 0, tag: str | None = None) -> None:
    for body in bodies:
        assert (await wire.send("order-events", body, queue_id=queue_id, tag=tag)).code == 0


def bodies(popped: list[Popped]) -> list[bytes]:
    return [each.body for each in popped]


class TestAQueue:
    async def test_is_locked_until_all_that_was_given_is_acknowledged(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", b"paid", b"packed")
        placed, paid = await consumer.pop_in_order(max_msg_nums=2)
        assert await consumer.pop_in_order() == []

        await consumer.ack(placed)
        assert await consumer.pop_in_order() == []
        await consumer.ack(paid)

        assert bodies(await consumer.pop_in_order()) == [b"packed"]

    async def test_locks_no_other_queue_and_no_other_group(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        await send(wire, b"paid", queue_id=1)
        await consumer.pop_in_order(max_msg_nums=1)

        assert bodies(await consumer.pop_in_order(queue_id=-1)) == [b"paid"]
        assert bodies(await PopConsumer(wire, "billing").pop_in_order()) == [b"placed"]

    async def test_is_unlocked_by_time_and_goes_on_at_the_first_that_is_open(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed", b"paid", b"packed")
        placed, _paid, packed = await consumer.pop_in_order()
        await consumer.ack(placed)
        await consumer.ack(packed)

        await pass_time(broker, INVISIBLE_MS - 1)
        assert await consumer.pop_in_order() == []
        await pass_time(broker, 1)

        assert bodies(await consumer.pop_in_order()) == [b"paid", b"packed"]

    async def test_gives_the_same_to_a_request_that_is_repeated(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        await consumer.pop_in_order(attempt_id="attempt-1")

        assert await consumer.pop_in_order(attempt_id="attempt-2") == []
        response = await consumer.ask(order=True, queue_id=0, attempt_id="attempt-1")

        (placed,) = consumer.read(response)
        assert response.ext_fields["orderCountInfo"] == "0 0 0"  # the same try, so nothing is given again
        assert (await consumer.ack(placed)).code == 0
        assert await consumer.pop_in_order() == []

    async def test_tells_how_often_each_message_was_given_before(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop_in_order()
        await pass_time(broker, INVISIBLE_MS)
        await send(wire, b"paid")

        again = await consumer.ask(order=True, queue_id=0)
        await pass_time(broker, INVISIBLE_MS)
        third = await consumer.ask(order=True, queue_id=0)

        assert again.ext_fields["orderCountInfo"] == "0 qo0%0 1;0 0 0"
        assert again.ext_fields["reviveQid"] == str(ORDER_QUEUE)
        assert third.ext_fields["orderCountInfo"] == "0 qo0%0 2;0 qo0%1 1;0 0 1"

    async def test_of_unwanted_messages_is_passed_over(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", tag="A")
        assert await consumer.pop_in_order(exp="B", exp_type="TAG") == []
        await send(wire, b"paid", tag="B")

        assert bodies(await consumer.pop_in_order(exp="B", exp_type="TAG")) == [b"paid"]

    async def test_is_not_followed_into_the_retries_of_who_needs_no_order(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop()
        await pass_time(broker, INVISIBLE_MS)

        assert await consumer.pop_in_order(queue_id=-1) == []
        assert await consumer.bodies() == [b"placed"]

    async def test_goes_where_the_groups_offset_was_reset_to_and_is_unlocked(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed", b"paid")
        popped = await consumer.pop_in_order()

        broker.offsets.reset("orders", "order-events", {0: 1})
        await consumer.ack(popped[0])

        assert bodies(await consumer.pop_in_order()) == [b"paid"]

    async def test_of_a_topic_that_was_deleted_and_made_again_is_not_locked(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop_in_order()

        await wire.call(RequestCode.DELETE_TOPIC_IN_BROKER, {"topic": "order-events"})
        await wire.create_topic("order-events", 2)
        await send(wire, b"paid")

        assert bodies(await consumer.pop_in_order()) == [b"paid"]


class TestAcknowledging:
    async def test_a_whole_answer_takes_one_request(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed", b"paid")

        assert (await consumer.ack_all(await consumer.pop_in_order())).code == 0

        assert broker.offsets.get("orders", "order-events", 0) == 2
        await pass_time(broker, INVISIBLE_MS)
        assert await consumer.pop_in_order() == []

    async def test_what_was_given_again_changes_nothing(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        (placed,) = await consumer.pop_in_order()
        await pass_time(broker, INVISIBLE_MS)
        await consumer.pop_in_order()

        assert (await consumer.ack(placed)).code == 0

        assert broker.offsets.get("orders", "order-events", 0) == 0


class TestAnotherInvisibleTime:
    async def test_unlocks_the_queue_when_it_is_over(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed", b"paid")
        placed, paid = await consumer.pop_in_order()
        await consumer.ack(placed)
        await pass_time(broker, 10)

        fields = (await consumer.change(paid, 1000)).ext_fields

        assert fields == {"popTime": str(NOW_MS), "invisibleTime": "1010", "reviveQid": str(ORDER_QUEUE)}
        await pass_time(broker, 999)
        assert await consumer.pop_in_order() == []
        await pass_time(broker, 1)
        assert bodies(await consumer.pop_in_order()) == [b"paid"]

    async def test_may_be_longer(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed")
        (placed,) = await consumer.pop_in_order()
        await consumer.change(placed, 60_000)

        await pass_time(broker, 59_999)
        assert await consumer.pop_in_order() == []
        await pass_time(broker, 1)
        assert bodies(await consumer.pop_in_order()) == [b"placed"]

    async def test_is_refused_for_what_is_over(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed")
        (placed,) = await consumer.pop_in_order()
        await consumer.ack(placed)

        assert (await consumer.change(placed, 1000)).code == ResponseCode.NO_MESSAGE


class TestWaiting:
    async def test_ends_when_the_queue_is_unlocked_by_an_acknowledgement(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed", b"paid")
        (placed,) = await consumer.pop_in_order(max_msg_nums=1)
        waiting = asyncio.create_task(consumer.pop_in_order(poll_time=5000))
        await until(lambda: len(broker.pop.polling) == 1)

        await consumer.ack(placed)

        assert bodies(await waiting) == [b"paid"]

    async def test_for_news_ends_when_the_queue_is_unlocked_by_time(
        self, wire: Wire, consumer: PopConsumer, broker: Broker
    ):
        await send(wire, b"placed")
        await consumer.pop_in_order()
        assert not await consumer.is_notified(order=True, queue_id=0)
        waiting = asyncio.create_task(consumer.is_notified(order=True, queue_id=0, poll_time=5000))
        await until(lambda: len(broker.pop_looking.polling) == 1)

        await pass_time(broker, INVISIBLE_MS)

        assert await waiting

    async def test_ends_when_the_longer_of_two_times_is_over(self, wire: Wire, consumer: PopConsumer, broker: Broker):
        await send(wire, b"placed", b"paid")
        (placed,) = await consumer.pop_in_order(max_msg_nums=1)
        await consumer.change(placed, 60_000)
        waiting = asyncio.create_task(consumer.pop_in_order(poll_time=5000))
        await until(lambda: len(broker.pop.polling) == 1)

        await pass_time(broker, INVISIBLE_MS)
        assert len(broker.pop.polling) == 1
        await pass_time(broker, 60_000 - INVISIBLE_MS)

        assert bodies(await waiting) == [b"placed", b"paid"]

    async def test_is_not_counted_as_messages_left(self, wire: Wire, consumer: PopConsumer):
        await send(wire, b"placed", b"paid")
        await send(wire, b"packed", queue_id=1)
        await consumer.pop_in_order(max_msg_nums=1)

        response = await consumer.ask(order=True)

        assert response.ext_fields["restNum"] == "0"


class TestACrash:
    @pytest.fixture
    async def restart(self, broker: Broker, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[PopConsumer]]]:
        """A broker on the files as a killed one leaves them."""
        running: list[tuple[Broker, Wire]] = []

        async def crash_and_restart() -> PopConsumer:
            shutil.copytree(tmp_path / "store", tmp_path / "killed")
            again = await start_broker(tmp_path / "killed", broker.clock)
            running.append((again, Wire(again)))
            return PopConsumer(running[-1][1])

        yield crash_and_restart
        for again, wire in running:
            await wire.close()
            await again.stop()

    async def test_loses_no_acknowledgement_and_no_lock(
        self, wire: Wire, consumer: PopConsumer, restart: Callable[[], Awaitable[PopConsumer]]
    ):
        """Guarded by the entry that `ConsumerOrderInfo._log` puts into the revive log."""
        await send(wire, b"placed", b"paid", b"packed")
        placed, paid = await consumer.pop_in_order(max_msg_nums=2)
        await consumer.ack(placed)

        survivor = await restart()

        assert await survivor.pop_in_order() == []
        assert (await survivor.ack(paid)).code == 0
        assert bodies(await survivor.pop_in_order()) == [b"packed"]

    async def test_leaves_a_group_where_it_was_reset_to(
        self, wire: Wire, consumer: PopConsumer, broker: Broker, restart: Callable[[], Awaitable[PopConsumer]]
    ):
        await send(wire, b"placed")
        (placed,) = await consumer.pop_in_order()
        await consumer.ack(placed)
        await broker.revive.round()
        broker.offsets.reset("orders", "order-events", {0: 0})
        broker.offsets.save()

        survivor = await restart()

        assert bodies(await survivor.pop_in_order()) == [b"placed"]


def known_of_the_log(path: Path) -> int | None:
    """How far the file says it knows queue 0 of the revive log; None for one that is just being replaced."""
    with contextlib.suppress(FileNotFoundError):
        known = json_files.read(path).get("reviveLog", {}).get("0")
        return int(known) if known is not None else None
    return None


class TestTheFile:
    async def test_is_as_rocketmq_writes_it_but_for_how_much_of_the_log_is_in_it(
        self, wire: Wire, consumer: PopConsumer, broker: Broker, tmp_path: Path
    ):
        await send(wire, b"placed", b"paid")
        placed, paid = await consumer.pop_in_order(attempt_id="attempt-1")
        await consumer.ack(placed)
        await consumer.change(paid, 1000)

        await broker.orders.stop()  # which saves

        text = (tmp_path / "store/config/consumerOrderInfo.json").read_text()
        assert json.loads(text)["table"] == {
            "order-events@orders": {
                "0": {
                    "a": "attempt-1",
                    "cm": 1,
                    "i": INVISIBLE_MS,
                    "l": NOW_MS,
                    "o": [0, 1],
                    "ot": {"1": NOW_MS + 1000},
                    "popTime": NOW_MS,
                }
            }
        }
        assert json.loads(text)["reviveLog"] == {str(each): 3 if each == 0 else 0 for each in range(8)}

    async def test_of_rocketmq_outdoes_our_log(self, wire: Wire, consumer: PopConsumer, broker: Broker, tmp_path: Path):
        """Guarded by `_read`, which tells RocketMQ's file by the member that it lacks."""
        await send(wire, b"placed")
        await consumer.pop_in_order()
        shutil.copytree(tmp_path / "store", tmp_path / "theirs")
        info = '{"table":{"order-events@orders":{0:{"cm":1,"i":30000,"l":9,"o":[0],"oc":{0:2},"popTime":9}}}}'
        (tmp_path / "theirs/config").mkdir(exist_ok=True)
        (tmp_path / "theirs/config/consumerOrderInfo.json").write_text(info)

        ours = await start_broker(tmp_path / "theirs", broker.clock)

        assert not ours.orders.is_locked(("orders", "order-events", 0))
        path = tmp_path / "theirs/config/consumerOrderInfo.json"
        await until(lambda: known_of_the_log(path) == 1)
        await ours.stop()

    async def test_that_knows_of_more_than_the_log_holds_is_not_believed(self, tmp_path: Path):
        """What comes into the log next would count as known."""
        path = tmp_path / "store/config/consumerOrderInfo.json"
        path.parent.mkdir(parents=True)
        path.write_text('{"table":{},"reviveLog":{"0":99,"77":1}}')

        broker = await start_broker(tmp_path / "store")

        assert broker.orders.known_to == dict.fromkeys(range(8), 0)
        await until(lambda: known_of_the_log(path) == 0)
        await broker.stop()


class TestOrderInfo:
    def test_forgets_nothing_between_messages_that_are_no_neighbours(self):
        info = OrderInfo.of([5, 9, 12], now_ms=0, invisible_ms=10, attempt_id=None)
        info.acknowledge(5)
        info.acknowledge(12)

        assert info.open_offsets == [9]
        assert info.next_offset == 9
        info.acknowledge(9)
        assert info.next_offset == 13
        assert not info.locks(0, None)

    def test_refuses_offsets_of_others(self):
        with pytest.raises(ValueError, match="7"):
            OrderInfo.of([5], now_ms=0, invisible_ms=10, attempt_id=None).acknowledge(7)
