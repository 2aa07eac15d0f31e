"""Starting, empty and after a kill, with the real broker and little in it."""

from __future__ import annotations

import pytest

from benchmarks import starts
from benchmarks.pace import Pace
from benchmarks.sides import SYNC, bundled


@pytest.mark.slow  # three starts, and two seconds of idling
def test_a_start_is_measured_empty_and_after_a_kill(tmp_path):
    with starts.starter("bundled", bundled(SYNC))(tmp_path / "bundled") as starter:
        empty = starts.first_send(starter, Pace())
        killed = starts.after_a_kill(starter, Pace(size=0.001), log_bytes=1 << 30)

    assert 0 < empty["start_s"] < 30
    assert empty["private_mb"] > 5
    assert 0 < killed["start_s"] < 30
