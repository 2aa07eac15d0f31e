"""The real thing, very small: two brokers, filled differently, under one load."""

from __future__ import annotations

import pytest

from benchmarks.growth import GROWTH
from benchmarks.pace import Pace
from benchmarks.results import Results
from benchmarks.rounds import play


@pytest.mark.slow  # a dozen interpreters start
def test_a_full_broker_and_one_with_little_in_it_take_turns(tmp_path):
    (row,) = [one for one in GROWTH if one.name == "growth-topics-send"]
    results = Results(tmp_path / "results.json")

    play([row], Pace(own_s=0.2, rounds=1, size=0.02), results, {}, tmp_path)

    result = results.rows[row.name]
    assert result.failure is None
    assert all(result.sides[side][0]["per_second"] > 0 for side in ("large", "small"))
    assert result.sides["large"][0]["private_mb"] > 5
