"""Percentiles and reports."""

from __future__ import annotations

import json

from mq.bench.measure import Durations, Report


def durations(*milliseconds: float) -> Durations:
    found = Durations()
    for ms in milliseconds:
        found.add(ms / 1000)
    return found


class TestDurations:
    def test_percentiles_are_of_the_nearest_rank(self):
        assert durations(*range(1000, 0, -1)).summary_ms() == {"p50": 500, "p99": 990, "p99.9": 999, "max": 1000}

    def test_one_is_all_of_its_percentiles(self):
        assert durations(7).summary_ms() == {"p50": 7, "p99": 7, "p99.9": 7, "max": 7}

    def test_none_have_none(self):
        assert durations().summary_ms() == {}


class TestReport:
    def test_tells_rate_failures_and_the_machine(self):
        report = Report("produce", {"workers": 2}, messages=500, seconds=2.0, durations={"send": durations(1, 3)})
        report.failures["NoRoute: nobody"] += 2

        told = json.loads(report.to_json())

        assert (told["messages_per_second"], told["latency_ms"]["send"]["max"]) == (250, 3)
        assert told["failures"] == {"NoRoute: nobody": 2}
        assert {"cpu", "cores", "python", "system"} <= told["environment"].keys()
        assert "250 per second" in report.to_text()
        assert "2 times: NoRoute: nobody" in report.to_text()

    def test_says_when_it_was_the_generator_that_was_measured(self):
        report = Report("produce", {}, messages=1, seconds=1.0, generator_cpu_seconds=0.9)

        assert report.to_dict()["bottleneck"] == "the generator"
