import pytest

from mq.client.faults import LatencyFaults


class Now:
    """A clock that stands still unless it is told."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def now() -> Now:
    return Now()


class TestLatencyFaults:
    @pytest.mark.parametrize(
        ("latency_ms", "pause_ms"),
        [(0, 0), (49, 0), (99, 0), (549, 0), (550, 2000), (1800, 5000), (3000, 6000), (5000, 10_000), (15_000, 30_000)],
    )
    def test_leave_a_slow_broker_alone_as_long_as_java_does(self, now: Now, latency_ms: int, pause_ms: int) -> None:
        faults = LatencyFaults(now)

        faults.answered("broker-a", latency_ms / 1000)

        now.s += pause_ms / 1000 - 0.001
        assert faults.is_available("broker-a") == (pause_ms == 0)
        now.s += 0.001
        assert faults.is_available("broker-a")

    def test_count_a_failure_as_ten_seconds(self, now: Now) -> None:
        faults = LatencyFaults(now)

        faults.lost("broker-a")
        faults.refused("broker-b")

        assert not faults.is_available("broker-a")
        assert not faults.is_available("broker-b")
        now.s += 10
        assert faults.is_available("broker-a")
        assert faults.is_available("broker-b")

    def test_do_not_shorten_a_pause_for_a_fast_answer(self, now: Now) -> None:
        faults = LatencyFaults(now)

        faults.lost("broker-a")
        faults.answered("broker-a", 0.001)

        assert not faults.is_available("broker-a")

    def test_keep_what_cannot_be_reached_out_until_the_detector_reaches_it(self, now: Now) -> None:
        faults = LatencyFaults(now, has_detector=True)

        faults.lost("broker-a")
        now.s += 3600

        assert faults.unreachable == ["broker-a"]
        assert not faults.is_reachable("broker-a")
        faults.reached("broker-a")
        assert faults.is_available("broker-a")
