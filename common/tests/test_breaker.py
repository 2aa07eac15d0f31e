"""A party that keeps failing is left alone, and tried again by one caller at a time."""

from __future__ import annotations

import pytest

from common.breaker import CircuitBreaker, CircuitOpen, State


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def state(breaker: CircuitBreaker) -> State:
    return breaker.state


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError), breaker.calling(ConnectionError):
            raise ConnectionError


class TestCircuitBreaker:
    def test_opens_after_failures_in_a_row_and_closes_by_one_success_after_the_rest(self):
        clock = Clock()
        breaker = CircuitBreaker(failures_max=3, rest_s=5.0, clock=clock)
        fail(breaker, 2)
        with breaker.calling(ConnectionError):
            pass
        fail(breaker, 2)
        assert state(breaker) is State.CLOSED

        fail(breaker)
        assert state(breaker) is State.OPEN
        with pytest.raises(CircuitOpen), breaker.calling(ConnectionError):
            pytest.fail("the call was made")
        clock.now_s = 5.0
        assert state(breaker) is State.HALF_OPEN
        with breaker.calling(ConnectionError):
            pass

        assert state(breaker) is State.CLOSED

    def test_rests_again_when_the_one_try_fails(self):
        clock = Clock()
        breaker = CircuitBreaker(failures_max=3, rest_s=5.0, clock=clock)
        fail(breaker, 3)
        clock.now_s = 5.0

        fail(breaker)

        assert state(breaker) is State.OPEN

    def test_lets_one_caller_try_and_no_second_one(self):
        """Protects `_is_trying`: else a party that comes back is met by everybody who waited."""
        clock = Clock()
        breaker = CircuitBreaker(failures_max=1, rest_s=5.0, clock=clock)
        fail(breaker)
        clock.now_s = 5.0

        with breaker.calling(ConnectionError), pytest.raises(CircuitOpen), breaker.calling(ConnectionError):
            pytest.fail("the second call was made")

    def test_counts_only_what_is_the_partys_fault(self):
        breaker = CircuitBreaker(failures_max=1)

        with pytest.raises(KeyError), breaker.calling(ConnectionError):
            raise KeyError

        assert state(breaker) is State.CLOSED
