"""`config/timercheck`: its bytes, and what happens to damaged ones."""

import struct

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
        assert not any(data[64:])

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
