"""The time wheel: slots, turns, and when changes reach the file."""

import struct
from collections.abc import Iterator

import pytest

from mq.errors import CorruptRecord
from mq.store.disk import Disk
from mq.store.timer_wheel import SLOT_COUNT, Slot, TimerWheel

SLOT_BYTES = 32
#: Ten days after 1970, in seconds: a slot number whose place is not its number modulo anything small.
NOON = 864_000


@pytest.fixture
def wheel(tmp_path) -> Iterator[TimerWheel]:
    opened = TimerWheel(tmp_path / "timerwheel", Disk(), slot_count=100)
    opened.open()
    yield opened
    opened.close()


def reopened(tmp_path, slot_count: int = 100) -> TimerWheel:
    wheel = TimerWheel(tmp_path / "timerwheel", Disk(), slot_count)
    assert wheel.open()
    return wheel


class TestSlots:
    def test_are_empty_at_first(self, wheel: TimerWheel):
        assert wheel.get(NOON) is None
        assert list(wheel.occupied(NOON, NOON + 99)) == []

    def test_hold_the_ends_of_their_chain(self, wheel: TimerWheel):
        before_first = wheel.add(NOON, 52)
        before_second = wheel.add(NOON, 104)

        assert (before_first, before_second) == (-1, 52)
        assert wheel.get(NOON) == Slot(NOON, first_position=52, last_position=104, record_count=2)

    def test_are_empty_again_when_cleared(self, wheel: TimerWheel):
        wheel.add(NOON, 52)
        wheel.write()
        wheel.clear(NOON)

        assert wheel.get(NOON) is None
        assert wheel.add(NOON, 104) == -1

    def test_of_another_turn_do_not_count(self, wheel: TimerWheel):
        wheel.add(NOON, 52)

        assert wheel.get(NOON + 100) is None
        assert list(wheel.occupied(NOON + 100, NOON + 199)) == []


class TestOccupied:
    def test_loses_none_when_the_changes_are_written_while_they_are_looked_through(self, wheel: TimerWheel):
        """Protects the list in `_read`: a slow delivery is interrupted by the flush of every second."""
        for number in range(NOON, NOON + 10):
            wheel.add(number, 52)
        slots = wheel.occupied(NOON, NOON + 9)

        first = next(slots)
        wheel.write()

        assert [first, *slots] == [Slot(number, 52, 52, 1) for number in range(NOON, NOON + 10)]

    def test_lists_slots_in_order_of_time_across_the_end_of_the_file(self, wheel: TimerWheel):
        numbers = [NOON + 95, NOON + 99, NOON + 100, NOON + 194]
        for number in reversed(numbers):
            wheel.add(number, 0)

        assert [slot.number for slot in wheel.occupied(NOON + 95, NOON + 194)] == numbers

    def test_takes_both_ends_of_the_range(self, wheel: TimerWheel):
        for number in range(NOON, NOON + 5):
            wheel.add(number, 0)

        assert [slot.number for slot in wheel.occupied(NOON + 1, NOON + 3)] == [NOON + 1, NOON + 2, NOON + 3]

    def test_sees_changed_and_written_slots_alike(self, wheel: TimerWheel):
        wheel.add(NOON, 0)
        wheel.add(NOON + 1, 52)
        wheel.write()
        wheel.clear(NOON)
        wheel.add(NOON + 2, 104)

        assert [slot.number for slot in wheel.occupied(NOON, NOON + 9)] == [NOON + 1, NOON + 2]

    def test_finds_everything_after_a_pause_longer_than_a_turn(self, wheel: TimerWheel):
        for number in (NOON + 7, NOON + 3, NOON + 99):
            wheel.add(number, 0)

        found = [slot.number for slot in wheel.occupied(NOON, NOON + 1_000_000)]

        assert found == [NOON + 3, NOON + 7, NOON + 99]

    def test_is_empty_for_a_range_that_ends_before_it_begins(self, wheel: TimerWheel):
        wheel.add(NOON, 0)

        assert list(wheel.occupied(NOON + 1, NOON)) == []


class TestFile:
    def test_has_the_size_of_rocketmq(self, tmp_path):
        wheel = TimerWheel(tmp_path / "timerwheel", Disk())
        wheel.open()
        wheel.close()

        assert SLOT_COUNT == 1_209_600
        assert (tmp_path / "timerwheel").stat().st_size == 38_707_200

    def test_holds_a_slot_in_the_layout_of_rocketmq(self, tmp_path, wheel: TimerWheel):
        wheel.add(NOON + 3, 52)
        wheel.add(NOON + 3, 156)
        wheel.write()

        data = (tmp_path / "timerwheel").read_bytes()

        assert data[3 * SLOT_BYTES : 4 * SLOT_BYTES] == struct.pack(">qqqii", NOON + 3, 52, 156, 2, 0)
        assert not any(data[: 3 * SLOT_BYTES] + data[4 * SLOT_BYTES :])

    def test_does_not_change_before_it_is_written(self, tmp_path, wheel: TimerWheel):
        wheel.add(NOON, 52)

        assert not any((tmp_path / "timerwheel").read_bytes())

    def test_keeps_what_was_written(self, tmp_path, wheel: TimerWheel):
        wheel.add(NOON, 52)
        wheel.add(NOON + 1, 104)
        wheel.write()
        wheel.clear(NOON)
        wheel.write()

        again = reopened(tmp_path)

        assert (again.get(NOON), again.get(NOON + 1)) == (None, Slot(NOON + 1, 104, 104, 1))
        again.close()

    def test_of_another_size_is_refused(self, tmp_path):
        (tmp_path / "timerwheel").write_bytes(bytes(320))

        with pytest.raises(CorruptRecord, match="38707200 bytes, not 320"):
            TimerWheel(tmp_path / "timerwheel", Disk()).open()
