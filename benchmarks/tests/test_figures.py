"""Medians, ratios, aims."""

from __future__ import annotations

import pytest

from benchmarks.figures import Aim, Figures, spread, times_better


def rounds(name: str, *values: float) -> list[Figures]:
    return [{name: value} for value in values]


class TestRatios:
    def test_are_of_medians(self):
        assert times_better("per_second", rounds("per_second", 10, 40, 90), rounds("per_second", 10, 20, 30)) == 2

    def test_say_better_also_where_less_is_better(self):
        assert times_better("p99_ms", rounds("p99_ms", 2), rounds("p99_ms", 10)) == 5

    def test_spread_over_neighboring_rounds(self):
        first, second = rounds("per_second", 10, 40, 90), rounds("per_second", 10, 20, 30)

        assert spread("per_second", first, second) == (1, 3)


class TestAims:
    @pytest.mark.parametrize(
        ("aim", "words", "is_met"),
        [
            (Aim("per_second", 3.5, times=True), ">= 3.5x", True),
            (Aim("per_second", 4.5, times=True), ">= 4.5x", False),
            (Aim("p99_ms", 5, times=True), "p99 >= 5x", True),
            (Aim("per_second", 50_000), ">= 50,000 messages/s", False),
            (Aim("p99_ms", 6), "p99 <= 6 ms", True),
            (Aim("broker_us", 8), "broker <= 8 us/message", False),
            (Aim("private_mb", 40), "<= 40 MiB", True),
        ],
    )
    def test_are_limits_for_the_first_side_or_for_its_ratio(self, aim, words, is_met):
        first = [{"per_second": 40_000, "p99_ms": 4, "broker_us": 9, "private_mb": 20}]
        second = [{"per_second": 10_000, "p99_ms": 24}]

        assert (str(aim), aim.is_met(first, second)) == (words, is_met)
