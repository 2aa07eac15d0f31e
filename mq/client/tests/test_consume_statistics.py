import pytest

from mq.client.consume_statistics import ConsumeStatistics


class Now:
    s = 1000.0

    def __call__(self) -> float:
        return self.s


class TestConsumeStatistics:
    def test_are_means_and_rates_of_the_last_minute(self) -> None:
        now = Now()
        statistics = ConsumeStatistics(now)
        for _ in range(60):
            statistics.count_pull("T", 32, 0.004)
            statistics.count_batch("T", 10, 2, 0.020)
            now.s += 1
        now.s -= 1

        assert statistics.status("T") == {
            "consumeFailedMsgs": 120,
            "consumeFailedTPS": 2.0,
            "consumeOKTPS": 10.0,
            "consumeRT": pytest.approx(20.0),
            "pullRT": pytest.approx(4.0),
            "pullTPS": 32.0,
        }

    def test_forget_what_is_older_except_failures_of_the_hour(self) -> None:
        now = Now()
        statistics = ConsumeStatistics(now)
        statistics.count_batch("T", 5, 3, 0.020)

        now.s += 61
        after_a_minute = statistics.status("T")
        now.s += 3600

        assert (after_a_minute["consumeOKTPS"], after_a_minute["consumeRT"]) == (0.0, 0.0)
        assert after_a_minute["consumeFailedMsgs"] == 3
        assert statistics.status("T")["consumeFailedMsgs"] == 0

    def test_are_kept_apart_by_topic(self) -> None:
        statistics = ConsumeStatistics(Now())
        statistics.count_batch("T", 60, 0, 0.001)

        assert statistics.status("T")["consumeOKTPS"] == 1.0
        assert statistics.status("other")["consumeOKTPS"] == 0.0
