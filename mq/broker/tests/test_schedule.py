"""Delay levels: when messages come out, in what order, and after which kind of restart."""

from collections.abc import AsyncIterator

import pytest

from mq.broker.delay import SCHEDULE_TOPIC
from mq.broker.schedule import ScheduleService
from mq.broker.tests.quiet import PRODUCER, QuietBroker
from mq.errors import StoreNotWritable
from mq.message.record import RecordFields
from mq.store import json_files
from mq.store.store import AppendResult

#: The first three levels of RocketMQ.
LEVEL_1_MS, LEVEL_2_MS, LEVEL_3_MS = 1000, 5000, 10_000


@pytest.fixture
async def quiet(tmp_path) -> AsyncIterator[QuietBroker]:
    broker = QuietBroker(tmp_path / "store")
    yield broker
    await broker.close()


def service_of(quiet: QuietBroker) -> ScheduleService:
    service = ScheduleService(quiet.broker)
    service.open()
    return service


async def delivered_after(quiet: QuietBroker, service: ScheduleService, ms: int) -> list[bytes]:
    quiet.clock.advance(ms)
    while await service.round() == 0.0:
        pass
    return quiet.bodies()


class TestDelivery:
    async def test_is_never_early_and_comes_on_the_millisecond(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(b"in ten seconds", DELAY="3")

        assert await delivered_after(quiet, service, LEVEL_3_MS - 1) == []
        assert await delivered_after(quiet, service, 1) == [b"in ten seconds"]

    async def test_is_not_early_when_the_clock_goes_back_either(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(b"in a second", DELAY="1")

        assert await delivered_after(quiet, service, -60_000) == []
        assert await delivered_after(quiet, service, 60_000 + LEVEL_1_MS) == [b"in a second"]

    async def test_waits_no_longer_than_the_next_message(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(DELAY="1")

        assert await service.round() == 0.1
        quiet.clock.advance(LEVEL_1_MS - 30)
        assert await service.round() == 0.03

    async def test_keeps_the_order_of_a_level(self, quiet: QuietBroker):
        service = service_of(quiet)
        numbers = [b"%d" % number for number in range(250)]
        for body in numbers:
            await quiet.send(body, DELAY="2")

        assert await delivered_after(quiet, service, LEVEL_2_MS) == numbers

    async def test_of_one_level_does_not_wait_for_another(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(b"late", DELAY="3")
        await quiet.send(b"soon", DELAY="1")

        assert await delivered_after(quiet, service, LEVEL_1_MS) == [b"soon"]

    async def test_gives_back_the_message_as_it_was_sent(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(b"body", topic="order-timers", queue_id=3, DELAY="1", TAGS="CloseUnpaidOrder", KEYS="20240607")

        await delivered_after(quiet, service, LEVEL_1_MS)

        (message,) = quiet.messages("order-timers", 3)
        (waiting,) = quiet.messages(SCHEDULE_TOPIC, 0)
        assert (message.body, message.flag, message.tag, message.keys) == (
            b"body",
            7,
            "CloseUnpaidOrder",
            ("20240607",),
        )
        assert (message.born_timestamp_ms, message.born_host) == (waiting.born_timestamp_ms, PRODUCER)
        assert (message.reconsume_times, message.sys_flag) == (0, 0)

    async def test_leaves_the_properties_that_asked_for_it(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(queue_id=2, DELAY="1")

        await delivered_after(quiet, service, LEVEL_1_MS)

        (message,) = quiet.messages(queue_id=2)
        assert message.properties == {"DELAY": "1", "REAL_TOPIC": "order-events", "REAL_QID": "2"}

    async def test_lets_consumers_filter_by_tag_again(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(DELAY="1", TAGS="TagA")

        await delivered_after(quiet, service, LEVEL_1_MS)

        (entry,) = quiet.store.entries("order-events", 0, 0, 10)
        assert entry.tag_code == 2598919

    async def test_follows_the_configured_levels(self, tmp_path):
        quiet = QuietBroker(tmp_path, delay_levels="2s 7s")
        service = service_of(quiet)
        await quiet.send(b"two seconds", DELAY="1")

        assert await delivered_after(quiet, service, 1999) == []
        assert await delivered_after(quiet, service, 1) == [b"two seconds"]
        await quiet.close()

    async def test_skips_and_reports_a_message_that_belongs_nowhere(self, quiet: QuietBroker, caplog):
        service = service_of(quiet)
        now_ms = quiet.clock.now_ms()
        quiet.store.append(RecordFields(SCHEDULE_TOPIC, 0, b"stray", b"DELAY\x011\x02", 0, 0, now_ms, PRODUCER))
        await quiet.send(b"sound", DELAY="1")

        assert await delivered_after(quiet, service, LEVEL_1_MS) == [b"sound"]
        assert "delay level 1 cannot be delivered" in caplog.text


class TestWhenTheStoreRefuses:
    async def test_nothing_is_skipped_and_nothing_comes_twice(self, quiet: QuietBroker, monkeypatch):
        service = service_of(quiet)
        for number in range(3):
            await quiet.send(b"%d" % number, DELAY="1")
        append = quiet.store.append
        refusals = iter([False, True])

        def full_after_one(fields: RecordFields) -> AppendResult:
            if next(refusals, False):
                raise StoreNotWritable("the disk is full")
            return append(fields)

        monkeypatch.setattr(quiet.store, "append", full_after_one)
        quiet.clock.advance(LEVEL_1_MS)
        with pytest.raises(StoreNotWritable):
            await service.round()
        assert quiet.bodies() == [b"0"]

        assert await delivered_after(quiet, service, 0) == [b"0", b"1", b"2"]

    async def test_the_broker_stops_all_the_same(self, quiet: QuietBroker, monkeypatch, caplog):
        service = ScheduleService(quiet.broker)
        await service.start()

        def full(*_: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(json_files, "save", full)
        await service.stop()

        assert "may be delivered twice: no space left" in caplog.text


class TestRestart:
    async def test_goes_on_where_it_was(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(b"delivered", DELAY="1")
        await delivered_after(quiet, service, LEVEL_1_MS)
        await quiet.send(b"waiting", DELAY="2")
        service.save()

        again = service_of(quiet)

        assert await delivered_after(quiet, again, LEVEL_2_MS) == [b"delivered", b"waiting"]

    async def test_delivers_what_fell_due_meanwhile_at_once(self, tmp_path):
        quiet = QuietBroker(tmp_path)
        service_of(quiet).save()
        await quiet.send(b"slept", DELAY="18")
        quiet = await quiet.reopened()
        quiet.clock.advance(2 * 3_600_000)

        assert await delivered_after(quiet, service_of(quiet), 0) == [b"slept"]
        await quiet.close()

    async def test_after_a_kill_repeats_at_most_what_came_since_the_last_save(self, quiet: QuietBroker, tmp_path):
        service = service_of(quiet)
        await quiet.send(b"saved", DELAY="1")
        await delivered_after(quiet, service, LEVEL_1_MS)
        await quiet.send(b"not saved", DELAY="1")
        await quiet.send(b"waiting", DELAY="2")
        await delivered_after(quiet, service, LEVEL_1_MS)

        after = quiet.killed(tmp_path / "killed")
        bodies = await delivered_after(after, service_of(after), LEVEL_2_MS)

        assert bodies == [b"saved", b"not saved", b"not saved", b"waiting"]
        await after.close()

    async def test_reads_the_progress_that_rocketmq_wrote(self, quiet: QuietBroker):
        for body in (b"delivered", b"waiting"):
            await quiet.send(body, DELAY="1")
        path = quiet.root / "config" / "delayOffset.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text('{\n\t"dataVersion":{"counter":2,"timestamp":1},\n\t"offsetTable":{1:1,18:0}\n}')

        assert await delivered_after(quiet, service_of(quiet), LEVEL_1_MS) == [b"waiting"]

    async def test_writes_progress_as_level_and_next_offset(self, quiet: QuietBroker):
        service = service_of(quiet)
        await quiet.send(DELAY="2")
        await delivered_after(quiet, service, LEVEL_2_MS)

        service.save()

        assert json_files.load(quiet.root / "config" / "delayOffset.json", dict)["offsetTable"] == {"2": 1}

    async def test_with_progress_beyond_the_queue_begins_at_its_end(self, quiet: QuietBroker):
        json_files.save(quiet.root / "config" / "delayOffset.json", {"offsetTable": {"1": 500}})
        service = service_of(quiet)
        await quiet.send(b"new", DELAY="1")

        assert await delivered_after(quiet, service, LEVEL_1_MS) == [b"new"]


class TestAChangedLevelTable:
    async def test_brings_long_delays_down_to_the_new_length(self, tmp_path):
        quiet = QuietBroker(tmp_path, delay_levels="2h")
        await quiet.send(b"close the order", DELAY="1")
        await quiet.close()
        quiet = QuietBroker(tmp_path, delay_levels="30m")
        service = service_of(quiet)

        assert await delivered_after(quiet, service, 30 * 60_000 - 1) == []
        assert await delivered_after(quiet, service, 1) == [b"close the order"]
        await quiet.close()

    async def test_does_not_strand_levels_that_are_gone(self, tmp_path):
        quiet = QuietBroker(tmp_path, delay_levels="1s 5s")
        await quiet.send(b"level two", DELAY="2")
        await quiet.close()
        quiet = QuietBroker(tmp_path, delay_levels="1s")

        assert await delivered_after(quiet, service_of(quiet), LEVEL_2_MS) == [b"level two"]
        await quiet.close()
