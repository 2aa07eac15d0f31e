"""`config/timercheck`: its bytes, and what happens to damaged ones."""

import struct
import zlib
from dataclasses import replace

import pytest

from mq.errors import CorruptRecord
from mq.store import timer_checkpoint
from mq.store.disk import Disk
from mq.store.timer_checkpoint import TimerCheckpoint

CHECKPOINT = TimerCheckpoint(
    last_read_time_ms=1_700_000_001_000,
    timer_log_position=5200,
    queue_offset=100,
    master_queue_offset=100,
    state_version=1,
    timestamp_ms=1_700_000_002_000,
    counter=7,
    precision_ms=1000,
    wheel_sums=(3, 0, 1 << 31),
)


class TestTimerCheckpoint:
    def test_is_absent_in_a_new_store(self, tmp_path):
        assert timer_checkpoint.load(tmp_path / "timercheck") is None

    def test_reads_what_it_wrote(self, tmp_path):
        timer_checkpoint.save(tmp_path / "config" / "timercheck", CHECKPOINT, Disk())

        assert timer_checkpoint.load(tmp_path / "config" / "timercheck") == CHECKPOINT

    def test_fills_4096_bytes_in_the_order_of_rocketmq(self, tmp_path):
        timer_checkpoint.save(tmp_path / "timercheck", CHECKPOINT, Disk())

        data = (tmp_path / "timercheck").read_bytes()

        assert len(data) == 4096
        assert struct.unpack_from(">8q", data) == (
            1_700_000_001_000,
            5200,
            100,
            100,
            1,
            1_700_000_002_000,
            7,
            1000,
        )
        assert struct.unpack_from(">III", data, 64) == (zlib.crc32(data[:64]), 3, zlib.crc32(data[512:524]))
        assert struct.unpack_from(">III", data, 512) == CHECKPOINT.wheel_sums
        assert data[2048:2116] == data[:68]
        assert not any(data[76:512] + data[524:2048] + data[2116:])

    def test_reads_one_that_rocketmq_wrote_without_the_slot_length(self, tmp_path):
        (tmp_path / "timercheck").write_bytes(struct.pack(">7q", 1000, 52, 1, 1, 0, 0, 0).ljust(4096, b"\0"))

        found = timer_checkpoint.load(tmp_path / "timercheck")

        assert found == TimerCheckpoint(1000, 52, 1, 1)

    def test_replaces_an_earlier_one_in_place(self, tmp_path):
        timer_checkpoint.save(tmp_path / "timercheck", CHECKPOINT, Disk())
        timer_checkpoint.save(tmp_path / "timercheck", TimerCheckpoint(2000, 104, 2, 2), Disk())

        assert timer_checkpoint.load(tmp_path / "timercheck") == TimerCheckpoint(2000, 104, 2, 2)

    @pytest.mark.parametrize("data", [b"", b"\0" * 63, struct.pack(">q", -1) * 8])
    def test_refuses_damaged_bytes_and_names_the_file(self, tmp_path, data):
        (tmp_path / "timercheck").write_bytes(data)

        with pytest.raises(CorruptRecord, match="timercheck"):
            timer_checkpoint.load(tmp_path / "timercheck")


class TestDamage:
    """Of the fields: their copy is taken, unless RocketMQ has written since."""

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "timercheck"
        timer_checkpoint.save(path, CHECKPOINT, Disk())
        return path

    def change(self, path, at, data):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    @pytest.mark.parametrize("at", [0, 8, 16, 24, 56, 64], ids=str)
    @pytest.mark.parametrize("data", [b"\x40", b"\xff"], ids=["bit", "negative"])
    def test_does_not_show(self, path, at, data):
        """The guard is the CRC in `_fields`."""
        self.change(path, at, data)

        assert timer_checkpoint.load(path) == CHECKPOINT

    def test_of_a_whole_sector_costs_the_sums_only(self, path):
        self.change(path, 0, bytes(512))

        assert timer_checkpoint.load(path) == replace(CHECKPOINT, wheel_sums=())

    def test_of_the_sums_leaves_the_fields(self, path):
        self.change(path, 515, b"\x55")

        assert timer_checkpoint.load(path) == replace(CHECKPOINT, wheel_sums=())

    def test_of_the_copy_harms_nothing(self, path):
        self.change(path, 2050, b"\x55")

        assert timer_checkpoint.load(path) == CHECKPOINT

    def test_is_not_what_rocketmq_leaves(self, path):
        later = replace(CHECKPOINT, last_read_time_ms=2_000_000_000_000, timestamp_ms=1_700_000_009_000, counter=8)
        self.change(path, 0, timer_checkpoint.pack(later))

        assert timer_checkpoint.load(path) == replace(later, wheel_sums=())
