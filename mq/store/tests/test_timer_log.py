"""The timer log: its bytes, the ends of its files, and reading only what is there."""

import struct
from collections.abc import Iterator

import pytest

from mq.errors import CorruptRecord
from mq.store.disk import Disk
from mq.store.timer_log import FILE_BYTES, RECORD_BYTES, TimerLog, TimerRecord

#: Room for four records; what is left, 52 bytes, is too little for a fifth and a blank.
SMALL = 5 * RECORD_BYTES


@pytest.fixture
def log(tmp_path) -> Iterator[TimerLog]:
    opened = TimerLog(tmp_path / "timerlog", Disk(), SMALL)
    opened.open()
    yield opened
    opened.close()


def record(number: int = 0, previous: int = -1) -> TimerRecord:
    return TimerRecord(
        previous_position=previous,
        magic=1,
        write_time_ms=1_700_000_000_000,
        delay_ms=5000,
        commit_log_offset=1000 + number,
        record_bytes=200,
        topic_hash=-7,
    )


def reopened(tmp_path) -> TimerLog:
    log = TimerLog(tmp_path / "timerlog", Disk(), SMALL)
    log.open()
    return log


class TestAppend:
    def test_writes_the_layout_of_rocketmq(self, tmp_path, log: TimerLog):
        log.append(record())
        log.append(record(1, previous=0))

        data = (tmp_path / "timerlog" / ("0" * 20)).read_bytes()

        assert len(data) == SMALL
        expected = struct.pack(">iqiqiqiiq", 52, 0, 1, 1_700_000_000_000, 5000, 1001, 200, -7, 0)
        assert data[RECORD_BYTES : 2 * RECORD_BYTES] == expected

    def test_ends_a_file_with_a_blank_and_goes_on_in_the_next(self, tmp_path, log: TimerLog):
        positions = [log.append(record(number)) for number in range(5)]

        assert positions == [0, 52, 104, 156, SMALL]
        first_file = (tmp_path / "timerlog" / ("0" * 20)).read_bytes()
        assert first_file[208:224] == struct.pack(">iqI", 52, 0, 0xCBD43194)

    def test_announces_where_a_record_will_lie(self, log: TimerLog):
        for number in range(9):
            announced = log.next_position()
            assert log.append(record(number)) == announced

    def test_uses_files_of_100_mebibytes(self):
        assert FILE_BYTES == 104_857_600


class TestRead:
    def test_gives_back_what_was_written(self, log: TimerLog):
        position = log.append(record(3))

        assert log.read(position) == record(3)
        assert record(3).slot_time_ms == 1_700_000_005_000

    @pytest.mark.parametrize("position", [52, SMALL, 10 * SMALL, -1])
    def test_gives_nothing_where_nothing_was_written(self, log: TimerLog, position):
        log.append(record())

        assert log.read(position) is None

    def test_gives_nothing_for_a_record_that_points_forward(self, log: TimerLog):
        position = log.append(record(previous=52))

        assert log.read(position) is None


class TestScan:
    def test_crosses_files(self, log: TimerLog):
        for number in range(7):
            log.append(record(number))

        assert [found.commit_log_offset for _, found in log.scan(0)] == list(range(1000, 1007))

    def test_begins_in_the_middle_and_ends_at_the_first_gap(self, log: TimerLog):
        for number in range(3):
            log.append(record(number))

        assert [position for position, _ in log.scan(52)] == [52, 104]


class TestCut:
    def test_drops_what_lies_behind(self, tmp_path, log: TimerLog):
        for number in range(7):
            log.append(record(number))

        log.cut(104)

        assert [position for position, _ in log.scan(0)] == [0, 52]
        assert [path.name for path in (tmp_path / "timerlog").iterdir()] == ["0" * 20]
        assert (tmp_path / "timerlog" / ("0" * 20)).stat().st_size == SMALL
        assert log.append(record(9)) == 104


class TestEndChain:
    def test_makes_a_record_the_oldest_of_its_slot(self, log: TimerLog):
        log.append(record())
        position = log.append(record(1, previous=0))

        log.end_chain(position)

        assert log.read(position) == record(1)


class TestDeleteBefore:
    def test_drops_files_whose_messages_are_gone(self, tmp_path, log: TimerLog):
        for number in range(9):
            log.append(record(number))  # 1000 to 1003, 1004 to 1007, 1008

        log.delete_before(1007)

        assert sorted(path.name for path in (tmp_path / "timerlog").iterdir()) == [f"{SMALL:020}", f"{2 * SMALL:020}"]
        assert (log.min_position, log.read(0)) == (SMALL, None)

    def test_never_drops_the_last_file(self, log: TimerLog):
        for number in range(9):
            log.append(record(number))

        log.delete_before(1_000_000)

        assert log.min_position == 2 * SMALL


class TestOpen:
    def test_finds_every_file(self, tmp_path, log: TimerLog):
        for number in range(9):
            log.append(record(number))

        again = reopened(tmp_path)

        assert (again.min_position, again.end_position) == (0, 3 * SMALL)
        assert again.read(SMALL) == record(4)
        again.close()

    def test_refuses_a_gap_between_files(self, tmp_path, log: TimerLog):
        for number in range(9):
            log.append(record(number))
        (tmp_path / "timerlog" / f"{SMALL:020}").unlink()

        with pytest.raises(CorruptRecord, match="missing"):
            reopened(tmp_path)

    @pytest.mark.parametrize("name", ["readme.txt", f"{SMALL:020}"])
    def test_refuses_files_that_are_none_of_its_own(self, tmp_path, log: TimerLog, name):
        (tmp_path / "timerlog" / name).write_bytes(b"?")

        with pytest.raises(CorruptRecord):
            reopened(tmp_path)
