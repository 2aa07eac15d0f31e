from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from mq.clock import OffsetFileClock, SystemClock, move_offset_file, read_offset_file

MOVES = 100


def move_often(path: Path) -> None:
    for _ in range(MOVES):
        move_offset_file(path, 1)


class TestOffsetFile:
    def test_moves_a_clock_that_is_running(self, tmp_path):
        clock = OffsetFileClock(tmp_path / "offset")

        move_offset_file(tmp_path / "offset", 86_400_000)

        assert 0 <= clock.now_ms() - SystemClock().now_ms() - 86_400_000 + 1 < 60_000

    def test_loses_no_step_when_several_move_it_at_once(self, tmp_path):
        path = tmp_path / "offset"
        movers = [multiprocessing.get_context("fork").Process(target=move_often, args=(path,)) for _ in range(3)]
        for mover in movers:
            mover.start()
        for mover in movers:
            mover.join()

        assert read_offset_file(path) == 3 * MOVES

    def test_is_not_made_by_looking_at_it(self, tmp_path):
        assert read_offset_file(tmp_path / "offset") == 0
        assert not (tmp_path / "offset").exists()

    @pytest.mark.parametrize("content", [b"", b"1234567", b"123456789"])
    def test_that_is_damaged_is_refused_and_left_alone(self, tmp_path, content):
        path = tmp_path / "offset"
        path.write_bytes(content)

        for use in (OffsetFileClock, read_offset_file, lambda path: move_offset_file(path, 1)):
            with pytest.raises(ValueError, match="offset is damaged: it should hold 8 bytes"):
                use(path)
        assert path.read_bytes() == content
