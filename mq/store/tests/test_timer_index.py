"""The timers' files as one thing: what a start finds after a clean stop, a crash, or damage."""

import logging
import shutil
import tracemalloc
from pathlib import Path

import pytest

from mq.store.timer_index import TimerIndex
from mq.store.timer_log import MAGIC_DEFAULT, RECORD_BYTES, TimerRecord
from mq.store.timer_wheel import SLOT_COUNT

NOW_MS = 1_700_000_000_000
NOW_SLOT = NOW_MS // 1000
#: Room for a hundred records.
LOG_FILE_BYTES = 100 * RECORD_BYTES + 16


class Timers:
    """An index over a timer topic whose message number n lies at 1000 * n of the commit log."""

    def __init__(
        self,
        root: Path,
        sent_count: int = 0,
        now_ms: int = NOW_MS,
        precision_ms: int = 1000,
        *,
        is_clean: bool = False,
    ) -> None:
        self.sent_count = sent_count
        self.index = TimerIndex(root, precision_ms=precision_ms, log_file_bytes=LOG_FILE_BYTES)
        self.index.open(
            now_ms=now_ms, queue_range=(0, sent_count), queue_offset_of=self._queue_offset_of, is_clean=is_clean
        )

    def _queue_offset_of(self, record: TimerRecord) -> int | None:
        number = record.commit_log_offset // 1000
        return number if number < self.sent_count else None

    def put(self, *slots: int, now_ms: int = NOW_MS) -> None:
        """Put the topic's next messages into these slots, in this order."""
        for slot in slots:
            self.sent_count = max(self.sent_count, self.index.queue_offset + 1)
            assert self.index.put(
                slot,
                now_ms=now_ms,
                magic=MAGIC_DEFAULT,
                commit_log_offset=1000 * self.index.queue_offset,
                record_bytes=200,
                topic_hash=0,
            )
            self.index.queue_offset += 1

    def due(self, now_ms: int) -> list[tuple[int, list[int]]]:
        """Slot numbers and the numbers of their messages, oldest first."""
        return [
            (slot.number, [record.commit_log_offset // 1000 for _, record in self.index.chain(slot)][::-1])
            for slot in self.index.due(now_ms)
        ]

    def deliver(self, now_ms: int) -> None:
        for slot in self.index.due(now_ms):
            self.index.delivered(slot)


def at(slot: int) -> int:
    """The moment at which a slot is over."""
    return (slot + 1) * 1000


class TestTimerIndex:
    def test_keeps_messages_until_their_slot_is_over(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 10)

        assert timers.due(at(NOW_SLOT + 10) - 1) == []
        assert timers.due(at(NOW_SLOT + 10)) == [(NOW_SLOT + 10, [0])]

    def test_lists_slots_by_time_and_messages_by_arrival(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 20, NOW_SLOT + 10, NOW_SLOT + 20)

        assert timers.due(at(NOW_SLOT + 99)) == [(NOW_SLOT + 10, [1]), (NOW_SLOT + 20, [0, 2])]

    def test_makes_due_at_once_what_comes_too_late(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT - 500)

        assert timers.due(NOW_MS) == [(NOW_SLOT - 1, [0])]

    def test_forgets_what_was_delivered(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 1, NOW_SLOT + 2)
        timers.deliver(at(NOW_SLOT + 1))

        assert timers.due(at(NOW_SLOT + 2)) == [(NOW_SLOT + 2, [1])]

    def test_delivers_nothing_twice_and_nothing_early_when_the_clock_goes_back(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 1, NOW_SLOT + 100)
        timers.deliver(at(NOW_SLOT + 200))

        timers.put(NOW_SLOT + 50, now_ms=NOW_MS)  # 150 seconds ago again

        assert timers.due(at(NOW_SLOT + 50) - 1) == []
        assert timers.due(at(NOW_SLOT + 300)) == [(NOW_SLOT + 50, [2])]

    def test_remembers_how_much_of_a_slot_is_delivered(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(*[NOW_SLOT + 1] * 5)
        (slot,) = timers.index.due(at(NOW_SLOT + 1))
        positions = [position for position, _ in timers.index.chain(slot)][::-1]

        timers.index.delivered_until(slot, positions[3], 2)

        assert timers.due(at(NOW_SLOT + 1)) == [(NOW_SLOT + 1, [3, 4])]

    def test_lets_a_wheel_far_behind_be_emptied_first(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 1)
        later_ms = NOW_MS + 20 * 86_400_000

        is_placed = timers.index.put(
            later_ms // 1000, now_ms=later_ms, magic=1, commit_log_offset=0, record_bytes=200, topic_hash=0
        )

        assert not is_placed
        assert timers.due(later_ms) == [(NOW_SLOT + 1, [0])]

    def test_costs_disk_and_not_memory(self, tmp_path):
        """A million waiting timers are to fit in far less than 300 MB, so ten thousand in less than one."""
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 10)
        tracemalloc.start()
        before_bytes, _ = tracemalloc.get_traced_memory()

        for number in range(10_000):
            timers.put(NOW_SLOT + number)
        timers.index.flush(NOW_MS)

        after_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert after_bytes - before_bytes < 1_000_000


class TestAfterACleanStop:
    def test_goes_on_where_it_was(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 1, NOW_SLOT + 50, NOW_SLOT + 2, NOW_SLOT + 50)
        timers.deliver(at(NOW_SLOT + 2))
        timers.index.flush(NOW_MS)
        timers.index.close()

        again = Timers(tmp_path, sent_count=6, now_ms=at(NOW_SLOT + 3))

        assert again.index.queue_offset == 4
        assert again.due(at(NOW_SLOT + 50)) == [(NOW_SLOT + 50, [1, 3])]

    def test_delivers_after_weeks_of_standing_still(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 3600, NOW_SLOT + 60)
        timers.index.flush(NOW_MS)
        timers.index.close()
        later_ms = NOW_MS + 30 * 86_400_000

        again = Timers(tmp_path, sent_count=2, now_ms=later_ms)

        assert again.due(later_ms) == [(NOW_SLOT + 60, [1]), (NOW_SLOT + 3600, [0])]

    def test_drops_log_files_whose_messages_are_gone(self, tmp_path):
        timers = Timers(tmp_path)
        timers.put(*[NOW_SLOT + 10] * 150)

        timers.index.flush(NOW_MS, min_commit_log_offset=120_000)

        assert [path.name for path in (tmp_path / "timerlog").iterdir()] == [f"{LOG_FILE_BYTES:020}"]
        ((_, numbers),) = timers.due(at(NOW_SLOT + 10))
        assert (numbers[0], numbers[-1]) == (100, 149)


class TestAfterACrash:
    """The directory is copied at some moment, which is what a killed process leaves."""

    @pytest.fixture
    def killed(self, tmp_path: Path) -> Path:
        """Checkpointed with two timers, one more in each of three slots since."""
        timers = Timers(tmp_path / "live")
        timers.put(NOW_SLOT + 10, NOW_SLOT + 20)
        timers.index.flush(NOW_MS)
        timers.put(NOW_SLOT + 10, NOW_SLOT + 20, NOW_SLOT + 30)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
        return tmp_path / "killed"

    def test_loses_no_timer(self, killed):
        again = Timers(killed, sent_count=5)

        assert again.index.queue_offset == 5
        assert again.due(at(NOW_SLOT + 99)) == [(NOW_SLOT + 10, [0, 2]), (NOW_SLOT + 20, [1, 3]), (NOW_SLOT + 30, [4])]

    def test_reads_again_what_the_commit_log_lost_as_well(self, killed):
        again = Timers(killed, sent_count=4)

        assert again.index.queue_offset == 4
        again.put(NOW_SLOT + 40)
        assert again.due(at(NOW_SLOT + 99))[-1] == (NOW_SLOT + 40, [4])
        assert [slot for slot, _ in again.due(at(NOW_SLOT + 99))] == [NOW_SLOT + 10, NOW_SLOT + 20, NOW_SLOT + 40]

    def test_completes_a_wheel_written_without_its_checkpoint(self, tmp_path):
        timers = Timers(tmp_path / "live")
        timers.index.flush(NOW_MS)
        timers.put(NOW_SLOT + 10, NOW_SLOT + 10)
        timers.index.log.sync()
        timers.index.wheel.write()
        timers.put(NOW_SLOT + 10)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")

        again = Timers(tmp_path / "killed", sent_count=3)

        assert again.due(at(NOW_SLOT + 10)) == [(NOW_SLOT + 10, [0, 1, 2])]

    def test_finds_what_was_due_at_once_but_not_delivered(self, tmp_path):
        timers = Timers(tmp_path / "live")
        timers.index.flush(NOW_MS)
        timers.put(NOW_SLOT - 5)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")

        assert Timers(tmp_path / "killed", sent_count=1).due(NOW_MS) == [(NOW_SLOT - 1, [0])]

    def test_repeats_no_more_than_the_rest_of_a_slot_in_hand(self, tmp_path):
        timers = Timers(tmp_path / "live")
        timers.put(*[NOW_SLOT + 1] * 5)
        timers.index.flush(NOW_MS)
        (slot,) = timers.index.due(at(NOW_SLOT + 1))
        positions = [position for position, _ in timers.index.chain(slot)][::-1]
        timers.index.delivered_until(slot, positions[3], 2)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")

        assert Timers(tmp_path / "killed", sent_count=5).due(at(NOW_SLOT + 1)) == [(NOW_SLOT + 1, [3, 4])]


class TestMissingOrDamagedFiles:
    """Whatever is wrong, pending timers are found again in their topic, and only those without a checkpoint twice."""

    @pytest.fixture
    def stopped(self, tmp_path: Path) -> Path:
        """Stopped cleanly with one timer delivered and one pending."""
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 1, NOW_SLOT + 50)
        timers.deliver(at(NOW_SLOT + 1))
        timers.index.flush(NOW_MS)
        timers.index.close()
        return tmp_path

    @pytest.mark.parametrize(
        "damage",
        [
            lambda root: (root / "timerwheel").unlink(),
            lambda root: shutil.rmtree(root / "timerlog"),
            lambda root: (root / "timerwheel").write_bytes(bytes(64)),
            lambda root: (root / "timerlog" / "stray").write_bytes(b"?"),
        ],
        ids=["no wheel", "no log", "wheel of another size", "stray file"],
    )
    def test_are_made_anew_without_what_was_delivered(self, stopped, damage, caplog):
        damage(stopped)

        again = Timers(stopped, sent_count=2)

        assert "timers are read again from their topic" in caplog.text
        assert again.index.queue_offset == 0
        assert again.index.was_delivered(NOW_SLOT + 1)
        assert not again.index.was_delivered(NOW_SLOT + 50)

    @pytest.mark.parametrize("is_clean", [True, False], ids=["clean", "killed"])
    def test_are_made_anew_when_a_disk_has_changed_a_slot(self, tmp_path, caplog, is_clean):
        """`_check_wheel` sees to it. After a kill the parts of the wheel that were being written are believed."""
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT + 50_000)
        timers.index.flush(NOW_MS)
        timers.put(NOW_SLOT + 1)
        timers.index.wheel.write()
        if is_clean:
            timers.index.flush(NOW_MS)
        timers.index.close()
        with (tmp_path / "timerwheel").open("r+b") as wheel:
            wheel.seek((NOW_SLOT + 50_000) % SLOT_COUNT * 32)
            wheel.write(bytes(32))

        again = Timers(tmp_path, sent_count=2, is_clean=is_clean)

        assert "is not what was written" in caplog.text
        assert again.index.queue_offset == 0
        assert not again.index.was_delivered(NOW_SLOT + 50_000)

    def test_are_made_anew_for_another_slot_length(self, stopped, caplog):
        again = Timers(stopped, sent_count=2, precision_ms=100)

        assert "timerPrecisionMs=1000" in caplog.text
        assert again.index.was_delivered((NOW_SLOT + 1) * 10)
        assert not again.index.was_delivered((NOW_SLOT + 50) * 10)

    def test_bring_everything_back_when_the_checkpoint_is_gone(self, stopped, caplog):
        (stopped / "config" / "timercheck").unlink()

        again = Timers(stopped, sent_count=2)

        assert "timercheck is missing" in caplog.text
        assert again.index.queue_offset == 0
        assert not again.index.was_delivered(NOW_SLOT + 1)

    def test_are_no_news_in_a_new_store(self, tmp_path, caplog):
        caplog.set_level(logging.INFO)

        Timers(tmp_path)

        assert caplog.text == ""

    def test_found_while_running_are_mended_without_a_restart(self, stopped):
        timers = Timers(stopped, sent_count=2)
        timers.index.start_over(0, "a chain is broken")

        timers.put(NOW_SLOT + 50)

        assert timers.due(at(NOW_SLOT + 50)) == [(NOW_SLOT + 50, [0])]


class TestForeignStore:
    def test_keeps_slots_that_rocketmq_delivered_apart_from_new_timers(self, tmp_path):
        """RocketMQ leaves delivered slots as they are and only moves its read time on."""
        timers = Timers(tmp_path)
        timers.put(NOW_SLOT - 1)
        timers.index.read_slot = NOW_SLOT
        timers.index.flush(NOW_MS)
        timers.index.close()

        again = Timers(tmp_path, sent_count=1)
        again.put(NOW_SLOT - 30)  # too late, so put into the slot before now

        assert again.due(NOW_MS) == [(NOW_SLOT - 1, [1])]
