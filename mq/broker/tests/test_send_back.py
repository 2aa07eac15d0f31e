"""Messages that come back from consumers: to the retry topic, to the dead letters, or nowhere."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mq.broker.tests.quiet import START_MS
from mq.broker.tests.wire import UNIQUE_ID, Wire, bodies, messages, start_broker
from mq.clock import ManualClock
from mq.message import MessageQueue, ReceivedMessage, ids, properties, record
from mq.remoting.bodies import SubscriptionGroupConfig, TopicConfig
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import ConsumerSendMsgBackRequestHeader, PullSysFlag

RETRY, DEAD = "%RETRY%inventory", "%DLQ%inventory"
BEFORE_3_4_9 = 120


class ConsumerWire(Wire):
    """A consumer of group `inventory`."""

    clock: ManualClock

    async def give_back(
        self, message: ReceivedMessage, *, version: int = 479, group: str = "inventory", **changes: Any
    ) -> RemotingCommand:
        settings: dict[str, Any] = {"max_reconsume_times": 16, "delay_level": 0, "offset": message.commit_log_offset}
        request = RemotingCommand.request(
            RequestCode.CONSUMER_SEND_MSG_BACK,
            ConsumerSendMsgBackRequestHeader(group=group, **(settings | changes)),
        )
        request.version = version
        return await self.client.invoke(self.broker.address, request)

    async def message(self, topic: str = "order-events", number: int = 0) -> ReceivedMessage:
        """One message of a topic's first queue; waits for it."""
        return messages(await self.pull(topic, number, group="inventory", sys_flag=PullSysFlag.SUSPEND))[0]

    def scheduled(self, level: int) -> list[ReceivedMessage]:
        store = self.broker.store
        entries = store.entries("SCHEDULE_TOPIC_XXXX", level - 1, 0, 100)
        return [record.decode(store.record_at(entry.commit_log_offset) or b"") for entry in entries]

    def count(self, topic: str) -> int:
        return self.broker.store.max_offset(topic, 0)


@pytest.fixture
async def wire(tmp_path) -> AsyncIterator[ConsumerWire]:
    clock = ManualClock(START_MS)
    broker = await start_broker(tmp_path, clock)
    wire = ConsumerWire(broker)
    wire.clock = clock
    await wire.heartbeat("inventory", {"order-events": "*"})
    yield wire
    await wire.close()
    await broker.stop()


class TestGivingBack:
    async def test_delivers_again_after_ten_seconds_and_then_thirty(self, wire: ConsumerWire):
        await wire.send("order-events", b"order 1")
        await wire.give_back(await wire.message())
        assert len(wire.scheduled(3)) == 1

        wire.clock.advance(10_000)
        first_retry = await wire.message(RETRY)
        await wire.give_back(first_retry)

        assert (first_retry.body, first_retry.reconsume_times) == (b"order 1", 1)
        assert len(wire.scheduled(4)) == 1
        wire.clock.advance(30_000)
        assert (await wire.message(RETRY, 1)).reconsume_times == 2

    async def test_waits_as_long_as_the_consumer_says(self, wire: ConsumerWire):
        await wire.send("order-events")

        await wire.give_back(await wire.message(), delay_level=1)

        assert len(wire.scheduled(1)) == 1

    async def test_remembers_where_the_message_came_from(self, wire: ConsumerWire):
        await wire.send("order-events", tag="OrderPlaced")
        original = await wire.message()
        await wire.give_back(original, delay_level=1)
        wire.clock.advance(1000)
        first_retry = await wire.message(RETRY)
        await wire.give_back(first_retry, delay_level=1)
        wire.clock.advance(1000)

        for retry in (first_retry, await wire.message(RETRY, 1)):
            assert retry.properties["RETRY_TOPIC"] == "order-events"
            assert retry.properties["ORIGIN_MESSAGE_ID"] == original.offset_message_id
            assert retry.message_id == UNIQUE_ID
            assert (retry.tag, retry.born_timestamp_ms, retry.born_host) == (
                "OrderPlaced",
                original.born_timestamp_ms,
                original.born_host,
            )

    async def test_of_a_timed_message_does_not_time_it_again(self, wire: ConsumerWire):
        text = properties.encode({"UNIQ_KEY": UNIQUE_ID, "TIMER_DELAY_SEC": "1"}).decode()
        await wire.send("order-events", properties_text=text)
        wire.clock.advance(2000)

        await wire.give_back(await wire.message(), delay_level=1)
        wire.clock.advance(1000)

        assert (await wire.message(RETRY)).reconsume_times == 1

    async def test_of_a_committed_message_does_not_make_it_half_again(self, wire: ConsumerWire):
        text = properties.encode({"UNIQ_KEY": UNIQUE_ID, "TRAN_MSG": "true", "PGROUP": "checkout"}).decode()
        half = await wire.send("order-events", sys_flag=4, properties_text=text)
        end = {
            "producerGroup": "checkout",
            "tranStateTableOffset": half.ext_fields["queueOffset"],
            "commitLogOffset": str(ids.parse_offset_message_id(half.ext_fields["msgId"]).commit_log_offset),
            "commitOrRollback": "8",
        }
        await wire.call(RequestCode.END_TRANSACTION, end)

        await wire.give_back(await wire.message(), delay_level=1)
        wire.clock.advance(1000)

        assert (await wire.message(RETRY)).properties["TRAN_MSG"] == "true"


class TestAPoisonMessage:
    async def test_is_retried_sixteen_times_ever_later_and_then_dead(self, wire: ConsumerWire):
        await wire.send("order-events", b"poison")
        waited_ms = []
        message = await wire.message()
        for number in range(16):
            await wire.give_back(message)
            level = 3 + number
            waited_ms.append(wire.broker.config.delay_levels_ms[level - 1])
            assert len(wire.scheduled(level)) == 1
            wire.clock.advance(waited_ms[-1])
            wire.broker.schedule._background.wake()
            message = await wire.message(RETRY, number)
        await wire.give_back(message)

        seconds = [ms // 1000 for ms in waited_ms]
        assert seconds == [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200]
        assert bodies(await wire.pull(DEAD)) == [b"poison"]
        assert wire.count(RETRY) == 16


class TestDeadLetters:
    async def test_take_what_was_retried_often_enough(self, wire: ConsumerWire):
        await wire.send("order-events", b"poison", reconsume_times=2)

        await wire.give_back(await wire.message(), max_reconsume_times=2)

        assert bodies(await wire.pull(DEAD)) == [b"poison"]
        assert wire.count(RETRY) == 0

    async def test_take_what_must_not_be_retried(self, wire: ConsumerWire):
        await wire.send("order-events", b"poison")

        await wire.give_back(await wire.message(), delay_level=-1)

        assert bodies(await wire.pull(DEAD)) == [b"poison"]

    async def test_say_everything_about_the_message(self, wire: ConsumerWire):
        await wire.send("order-events", tag="OrderPlaced")
        original = await wire.message()
        await wire.give_back(original, max_reconsume_times=1, delay_level=1)
        wire.clock.advance(1000)
        await wire.give_back(await wire.message(RETRY), max_reconsume_times=1)

        dead = await wire.message(DEAD)

        assert dead.reconsume_times == 2  # one more than the limit
        assert (
            dead.properties.items()
            >= {
                "UNIQ_KEY": UNIQUE_ID,
                "TAGS": "OrderPlaced",
                "RETRY_TOPIC": "order-events",
                "ORIGIN_MESSAGE_ID": original.offset_message_id,
                "DELAY": "1",
                "REAL_TOPIC": RETRY,
                "REAL_QID": "0",
            }.items()
        )

    async def test_lie_in_a_topic_of_one_queue_that_tools_can_read(self, wire: ConsumerWire):
        await wire.send("order-events")
        await wire.give_back(await wire.message(), delay_level=-1)

        assert wire.broker.topics.get(DEAD) == TopicConfig(
            topic_name=DEAD, read_queue_nums=1, write_queue_nums=1, perm=6
        )

    @pytest.mark.parametrize(
        ("version", "asked", "is_dead"),
        [
            (479, 3, False),
            (479, 2, True),
            (479, None, True),  # then the group's own limit counts
            (BEFORE_3_4_9, 3, True),
            (BEFORE_3_4_9, None, True),
        ],
    )
    async def test_begin_at_the_clients_limit_or_the_groups(self, wire: ConsumerWire, version, asked, is_dead):
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="inventory", retry_max_times=2))
        await wire.send("order-events", reconsume_times=2)

        await wire.give_back(await wire.message(), version=version, max_reconsume_times=asked)

        assert (wire.count(DEAD), len(wire.scheduled(5))) == ((1, 0) if is_dead else (0, 1))


class TestRefusals:
    async def test_of_a_group_that_does_not_exist(self, tmp_path):
        broker = await start_broker(tmp_path, auto_create_group=False)
        wire = ConsumerWire(broker)
        await wire.send("order-events")
        message = record.decode(broker.store.record_at(0) or b"")

        response = await wire.give_back(message)

        assert response.code == ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST
        await wire.close()
        await broker.stop()

    @pytest.mark.parametrize("commit_log_offset", [1, 10**12, -1])
    async def test_of_a_place_where_no_message_begins(self, wire: ConsumerWire, commit_log_offset):
        await wire.send("order-events")

        response = await wire.give_back(await wire.message(), offset=commit_log_offset)

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert f"look message by offset failed, {commit_log_offset}" in (response.remark or "")

    async def test_of_a_retry_topic_that_is_read_only(self, wire: ConsumerWire):
        wire.broker.topics.put(TopicConfig(topic_name=RETRY, read_queue_nums=1, write_queue_nums=1, perm=4))
        await wire.send("order-events")

        response = await wire.give_back(await wire.message())

        assert response.code == ResponseCode.NO_PERMISSION

    async def test_are_none_for_a_group_without_retries_whose_message_is_dropped(self, wire: ConsumerWire):
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="inventory", retry_queue_nums=0))
        await wire.send("order-events")

        response = await wire.give_back(await wire.message())

        assert (response.code, wire.scheduled(3), wire.count(DEAD)) == (0, [], 0)


class TestSendingToARetryTopic:
    """What consumers do when giving back failed, and for messages they consume in order."""

    @pytest.fixture(autouse=True)
    async def retry_topic(self, wire: ConsumerWire):
        wire.broker.topics.ensure(RETRY)

    async def send_again(self, wire: ConsumerWire, times: int, **changes: Any) -> RemotingCommand:
        text = properties.encode(
            {"UNIQ_KEY": UNIQUE_ID, "RETRY_TOPIC": "order-events", "RECONSUME_TIME": str(times), "DELAY": "3"}
        ).decode()
        return await wire.send(RETRY, b"again", reconsume_times=times, properties_text=text, **changes)

    async def test_waits_like_any_delayed_message(self, wire: ConsumerWire):
        await self.send_again(wire, 1, max_reconsume_times=16)
        wire.clock.advance(10_000)

        assert (await wire.message(RETRY)).reconsume_times == 1

    @pytest.mark.parametrize(("times", "is_dead"), [(16, False), (17, True)])
    async def test_beyond_the_limit_is_a_dead_letter_at_once(self, wire: ConsumerWire, times, is_dead):
        await self.send_again(wire, times, max_reconsume_times=16)

        assert (wire.count(DEAD), len(wire.scheduled(3))) == ((1, 0) if is_dead else (0, 1))

    async def test_without_a_limit_uses_the_groups(self, wire: ConsumerWire):
        wire.broker.groups.put(SubscriptionGroupConfig(group_name="inventory", retry_max_times=2))

        await self.send_again(wire, 3)

        assert wire.count(DEAD) == 1

    async def test_from_a_group_that_consumes_in_order_is_a_dead_letter(self, wire: ConsumerWire):
        await wire.create_topic("order-events")
        assert await wire.lock("inventory", MessageQueue("order-events", "broker-a", 0))

        await self.send_again(wire, 1, max_reconsume_times=16)

        dead = await wire.message(DEAD)
        assert (dead.body, dead.properties["RECONSUME_TIME"]) == (b"again", "1")
