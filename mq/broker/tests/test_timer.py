"""Timers: when messages come out, what survives a restart, and what a jump of the clock sets free."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from mq.broker import timer
from mq.broker.delay import TIMER_TOPIC
from mq.broker.tests.quiet import PRODUCER, START_MS, QuietBroker
from mq.broker.tests.wire import Wire, bodies, messages, start_broker
from mq.broker.timer import TimerService
from mq.clock import ManualClock, OffsetFileClock, move_offset_file
from mq.errors import StoreNotWritable
from mq.message import properties
from mq.message.record import RecordFields
from mq.remoting.codes import ResponseCode
from mq.remoting.headers import PullSysFlag
from mq.store.store import AppendResult

DAY_MS = 86_400_000


@pytest.fixture
async def quiet(tmp_path) -> AsyncIterator[QuietBroker]:
    broker = QuietBroker(tmp_path / "store")
    yield broker
    await broker.close()


async def service_of(quiet: QuietBroker) -> TimerService:
    service = TimerService(quiet.broker)
    await service.open()
    return service


async def delivered_after(quiet: QuietBroker, service: TimerService, ms: int) -> list[bytes]:
    """Let the service see what was sent, move the clock, and let it work until it has nothing more to do."""
    await service.round()
    quiet.clock.advance(ms)
    while await service.round() == 0.0:
        pass
    return quiet.bodies()


def in_ms(ms: int) -> str:
    return str(START_MS + ms)


class TestDelivery:
    async def test_on_a_full_second_comes_on_the_millisecond(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"in a day", TIMER_DELIVER_MS=in_ms(DAY_MS))

        assert await delivered_after(quiet, service, DAY_MS - 1) == []
        assert await delivered_after(quiet, service, 1) == [b"in a day"]

    @pytest.mark.parametrize("ms", [1, 250, 999, 1000, DAY_MS + 1, 2 * DAY_MS - 1])
    async def test_is_never_early_and_less_than_a_second_late(self, quiet: QuietBroker, ms):
        service = await service_of(quiet)
        await quiet.send(TIMER_DELIVER_MS=in_ms(ms))

        assert await delivered_after(quiet, service, ms - 1) == []
        assert await delivered_after(quiet, service, 1000) == [b"hello"]

    async def test_is_finer_with_a_finer_precision(self, tmp_path):
        quiet = QuietBroker(tmp_path, timer_precision_ms=100)
        service = await service_of(quiet)
        await quiet.send(TIMER_DELIVER_MS=in_ms(350))

        assert await delivered_after(quiet, service, 399) == []
        assert await delivered_after(quiet, service, 1) == [b"hello"]
        await quiet.close()

    async def test_is_in_order_of_time_then_of_arrival(self, quiet: QuietBroker):
        service = await service_of(quiet)
        for body, ms in ((b"late 1", 9000), (b"soon 1", 3000), (b"late 2", 9000), (b"soon 2", 3000)):
            await quiet.send(body, TIMER_DELIVER_MS=in_ms(ms))

        assert await delivered_after(quiet, service, 9000) == [b"soon 1", b"soon 2", b"late 1", b"late 2"]

    async def test_wakes_at_the_end_of_a_slot(self, quiet: QuietBroker):
        service = await service_of(quiet)
        quiet.clock.advance(970)

        assert await service.round() == 0.03

    async def test_gives_back_the_message_as_it_was_sent(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"body", topic="order-timers", queue_id=3, TIMER_DELAY_SEC="5", TAGS="TagA", KEYS="20240607")
        (waiting,) = quiet.messages(TIMER_TOPIC)

        await delivered_after(quiet, service, 5000)

        (message,) = quiet.messages("order-timers", 3)
        assert (message.body, message.flag, message.tag, message.keys) == (b"body", 7, "TagA", ("20240607",))
        assert (message.born_timestamp_ms, message.born_host) == (waiting.born_timestamp_ms, PRODUCER)
        (entry,) = quiet.store.entries("order-timers", 3, 0, 10)
        assert entry.tag_code == 2598919

    async def test_leaves_what_was_asked_and_says_when_it_went_in_and_out(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(TIMER_DELAY_SEC="5")
        quiet.clock.advance(200)
        await delivered_after(quiet, service, 4900)

        (message,) = quiet.messages()
        assert message.properties == {
            "TIMER_DELAY_SEC": "5",
            "TIMER_OUT_MS": in_ms(4000),
            "REAL_TOPIC": "order-events",
            "REAL_QID": "0",
            "TIMER_ENQUEUE_MS": in_ms(200),
            "TIMER_DEQUEUE_MS": in_ms(5100),
        }

    async def test_does_without_the_stamps_when_the_properties_are_full(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(TIMER_DELAY_SEC="5", NOTE="x" * 32_670)

        await delivered_after(quiet, service, 5000)

        (message,) = quiet.messages()
        assert "TIMER_DEQUEUE_MS" not in message.properties

    async def test_skips_and_reports_messages_that_are_no_timers(self, quiet: QuietBroker, caplog):
        service = await service_of(quiet)
        for text in (b"", b"TIMER_OUT_MS\x011700000000000\x02REAL_TOPIC\x01../escape\x02REAL_QID\x010\x02"):
            quiet.store.append(RecordFields(TIMER_TOPIC, 0, b"stray", text, 0, 0, START_MS, PRODUCER))
        await quiet.send(b"sound", TIMER_DELAY_SEC="5")

        assert await delivered_after(quiet, service, 5000) == [b"sound"]
        assert "no TIMER_OUT_MS" in caplog.text
        assert "'../escape'" in caplog.text


class TestTakingBack:
    @pytest.mark.parametrize("key", ["order-events+A1", "A1"], ids=["since 5.2", "before"])
    async def test_removes_the_timer_of_that_key_and_moment(self, quiet: QuietBroker, key):
        service = await service_of(quiet)
        for unique_key in ("A1", "A2"):
            await quiet.send(unique_key.encode(), UNIQ_KEY=unique_key, TIMER_DELAY_SEC="60")
        await quiet.send(b"0", TIMER_DEL_UNIQKEY=key, TIMER_DELAY_SEC="60")

        assert await delivered_after(quiet, service, 60_000) == [b"A2"]

    async def test_leaves_other_moments_alone(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"A1", UNIQ_KEY="A1", TIMER_DELAY_SEC="60")
        await quiet.send(b"0", TIMER_DEL_UNIQKEY="order-events+A1", TIMER_DELAY_SEC="61")

        assert await delivered_after(quiet, service, 61_000) == [b"A1"]


class TestRolling:
    async def test_stores_a_timer_again_half_way_when_it_is_more_than_two_days_ahead(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"in 60 hours", TIMER_DELAY_SEC=str(60 * 3600))

        await delivered_after(quiet, service, DAY_MS + 1000)
        first, rolled = quiet.messages(TIMER_TOPIC)
        assert rolled.properties["TIMER_ROLL_TIMES"] == "1"
        assert rolled.properties["TIMER_OUT_MS"] == first.properties["TIMER_OUT_MS"]

        assert await delivered_after(quiet, service, 36 * 3_600_000 - 1001) == []
        assert await delivered_after(quiet, service, 1) == [b"in 60 hours"]

    async def test_goes_a_whole_window_when_much_remains(self, tmp_path):
        quiet = QuietBroker(tmp_path, timer_roll_window_slots=60)
        service = await service_of(quiet)
        await quiet.send(b"in 200 seconds", TIMER_DELAY_SEC="200")

        for second in range(200):
            assert await delivered_after(quiet, service, 1000 if second else 0) == []
        assert await delivered_after(quiet, service, 1000) == [b"in 200 seconds"]
        # 200 = 60 + 60 + 30 + the rest: the third time less than a window and a third is left.
        assert quiet.messages(TIMER_TOPIC)[-1].properties["TIMER_ROLL_TIMES"] == "3"
        await quiet.close()


class TestWhenTheStoreRefuses:
    async def test_nothing_is_skipped_and_nothing_comes_twice(self, quiet: QuietBroker, monkeypatch):
        service = await service_of(quiet)
        for number in range(3):
            await quiet.send(b"%d" % number, TIMER_DELAY_SEC="5")
        await service.round()
        append = quiet.store.append
        refusals = iter([False, True])

        def full_after_one(fields: RecordFields) -> AppendResult:
            if next(refusals, False):
                raise StoreNotWritable("the disk is full")
            return append(fields)

        monkeypatch.setattr(quiet.store, "append", full_after_one)
        quiet.clock.advance(5000)
        with pytest.raises(StoreNotWritable):
            await service.round()
        assert quiet.bodies() == [b"0"]

        assert await delivered_after(quiet, service, 0) == [b"0", b"1", b"2"]

    async def test_the_broker_stops_all_the_same(self, quiet: QuietBroker, monkeypatch, caplog):
        service = TimerService(quiet.broker)
        await service.start()

        def full(*_: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr("mq.store.timer_checkpoint.save", full)
        await service.stop()

        assert "may be delivered twice: no space left" in caplog.text


class TestRestart:
    async def test_keeps_what_is_waiting(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"delivered", TIMER_DELAY_SEC="5")
        await quiet.send(b"waiting", TIMER_DELAY_SEC="86400")
        await delivered_after(quiet, service, 5000)
        await service.close()

        again = await service_of(quiet)

        assert await delivered_after(quiet, again, DAY_MS - 5001) == [b"delivered"]
        assert await delivered_after(quiet, again, 1) == [b"delivered", b"waiting"]

    async def test_delivers_what_fell_due_meanwhile_at_once(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"on the wheel", TIMER_DELAY_SEC="60")
        await service.round()
        await service.close()
        await quiet.send(b"in the topic", TIMER_DELAY_SEC="60")
        quiet.clock.advance(3 * DAY_MS)

        assert await delivered_after(quiet, await service_of(quiet), 0) == [b"on the wheel", b"in the topic"]

    async def test_after_a_kill_loses_nothing_and_is_not_early(self, quiet: QuietBroker, tmp_path):
        service = await service_of(quiet)
        await quiet.send(b"checkpointed", TIMER_DELAY_SEC="60")
        await service.round()
        await quiet.send(b"on the wheel", TIMER_DELAY_SEC="60")
        await service.round()
        await quiet.send(b"in the topic", TIMER_DELAY_SEC="60")

        after = quiet.killed(tmp_path / "killed")
        again = await service_of(after)

        assert await delivered_after(after, again, 59_999) == []
        assert await delivered_after(after, again, 1) == [b"checkpointed", b"on the wheel", b"in the topic"]
        await after.close()

    async def test_after_a_kill_in_mid_delivery_repeats_at_most_one_group(
        self, quiet: QuietBroker, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(timer, "GROUP_COUNT", 10)
        service = await service_of(quiet)
        numbers = [b"%02d" % number for number in range(35)]
        for body in numbers:
            await quiet.send(body, TIMER_DELAY_SEC="60")
            await service.round()
        durable = quiet.store.durable
        copies = []

        async def kill_after_the_third_group() -> None:
            await durable()
            if len(quiet.bodies()) == 30:
                copies.append(quiet.killed(tmp_path / "killed"))

        monkeypatch.setattr(quiet.store, "durable", kill_after_the_third_group)
        await delivered_after(quiet, service, 60_000)

        (after,) = copies
        assert await delivered_after(after, await service_of(after), 0) == numbers[:30] + numbers[20:]
        await after.close()

    async def test_finds_every_timer_again_when_the_wheel_is_damaged(self, quiet: QuietBroker, caplog):
        service = await service_of(quiet)
        for number in range(3):
            await quiet.send(b"%d" % number, TIMER_DELAY_SEC="60")
        await service.round()
        log = next((quiet.root / "timerlog").iterdir())
        log.write_bytes(b"\xff" * 156 + log.read_bytes()[156:])

        assert await delivered_after(quiet, service, 60_000) == [b"0", b"1", b"2"]
        assert "read again from their topic" in caplog.text


class TestAJumpOfTheClock:
    async def test_sets_a_day_of_timers_free_without_holding_up_the_loop(self, quiet: QuietBroker):
        service = await service_of(quiet)
        count = 2000
        for number in range(count):
            await quiet.send(b"%d" % number, TIMER_DELIVER_MS=in_ms(1000 + number * DAY_MS // count))
        await delivered_after(quiet, service, 0)
        longest_s = 0.0

        async def watch() -> None:
            nonlocal longest_s
            while True:
                began_s = time.perf_counter()
                await asyncio.sleep(0)
                longest_s = max(longest_s, time.perf_counter() - began_s)

        watcher = asyncio.create_task(watch())
        began_s = time.perf_counter()
        delivered = await delivered_after(quiet, service, DAY_MS)
        took_s = time.perf_counter() - began_s
        watcher.cancel()

        assert delivered == [b"%d" % number for number in range(count)]
        assert took_s < 2.0  # on an idle machine 0.1
        assert longest_s < 0.25

    async def test_back_and_forth_fires_once(self, quiet: QuietBroker):
        service = await service_of(quiet)
        await quiet.send(b"once", TIMER_DELAY_SEC="60")

        await delivered_after(quiet, service, DAY_MS)
        await delivered_after(quiet, service, -DAY_MS)

        assert await delivered_after(quiet, service, DAY_MS) == [b"once"]


class TestInARunningBroker:
    async def test_a_day_passes_in_a_moment_when_the_clock_file_says_so(self, tmp_path):
        """As `time-travel` does it: another process adds 24 hours to the offset that the broker's clock reads."""
        broker = await start_broker(tmp_path / "store", OffsetFileClock(tmp_path / "offset"))
        wire = Wire(broker)
        for number in range(3):
            deliver_at_ms = broker.clock.now_ms() + DAY_MS
            text = properties.encode({"TIMER_DELIVER_MS": str(deliver_at_ms), "UNIQ_KEY": f"A{number}"}).decode()
            await wire.send("order-timers", b"%d" % number, properties_text=text)
        assert bodies(await wire.pull("order-timers")) == []

        move_offset_file(tmp_path / "offset", DAY_MS + 1000)
        began_s = time.perf_counter()
        pulled = await wire.pull("order-timers", sys_flag=PullSysFlag.SUSPEND)

        assert bodies(pulled)[:1] == [b"0"]
        assert time.perf_counter() - began_s < 2.0  # on an idle machine 0.1
        (message, *_) = messages(pulled)
        assert message.store_timestamp_ms >= deliver_at_ms
        await wire.close()
        await broker.stop()

    async def test_timers_survive_a_restart_of_the_broker(self, tmp_path):
        clock = ManualClock(START_MS)
        broker = await start_broker(tmp_path, clock)
        wire = Wire(broker)
        text = properties.encode({"TIMER_DELAY_SEC": "60", "UNIQ_KEY": "A1"}).decode()
        await wire.send("order-timers", b"waiting", properties_text=text)
        await wire.close()
        await broker.stop()

        clock.advance(60_000)
        broker = await start_broker(tmp_path, clock)
        wire = Wire(broker)

        assert bodies(await wire.pull("order-timers", sys_flag=PullSysFlag.SUSPEND)) == [b"waiting"]
        await wire.close()
        await broker.stop()

    async def test_clients_may_not_write_to_the_topic_of_the_wheel(self, tmp_path):
        broker = await start_broker(tmp_path)
        wire = Wire(broker)

        assert (await wire.send(TIMER_TOPIC)).code == ResponseCode.NO_PERMISSION
        await wire.close()
        await broker.stop()
