"""A circuit breaker: a third party that keeps failing is left alone for a while instead of being waited for each time.

    CLOSED     all calls go through; failures in a row are counted
    OPEN       after too many, no call goes through until the rest is over
    HALF_OPEN  then one call may try: it closes the circuit, or opens it for another rest

Why not a library: theirs read the clock themselves, and in our tests no time passes that a test does not let pass.
Source: M. Nygard, "Release It!", Circuit Breaker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class State(StrEnum):
    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class CircuitOpen(Exception):
    """The call was not made: the party failed too often a moment ago."""


class CircuitBreaker:
    """Safe to use from many threads."""

    def __init__(
        self, *, failures_max: int = 5, rest_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures_max = failures_max
        self._rest_s = rest_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failure_count = 0
        self._open_until_s: float | None = None
        self._is_trying = False

    @property
    def state(self) -> State:
        with self._lock:
            if self._open_until_s is None:
                return State.CLOSED
            return State.OPEN if self._clock() < self._open_until_s else State.HALF_OPEN

    @contextmanager
    def calling(self, *failures: type[Exception]) -> Iterator[None]:
        """Around one call; those of `failures` that it raises count against the party, anything else for it.

        Raises: CircuitOpen: do not call, come back later.
        """
        self._enter()
        try:
            yield
        except failures:
            self._failed()
            raise
        except BaseException:
            self._answered()
            raise
        self._answered()

    def _enter(self) -> None:
        with self._lock:
            if self._open_until_s is None:
                return
            if self._is_trying or self._clock() < self._open_until_s:
                raise CircuitOpen
            self._is_trying = True

    def _failed(self) -> None:
        with self._lock:
            self._failure_count += 1
            if self._is_trying or self._failure_count >= self._failures_max:
                self._open_until_s = self._clock() + self._rest_s
            self._is_trying = False

    def _answered(self) -> None:
        with self._lock:
            self._failure_count, self._open_until_s, self._is_trying = 0, None, False

    def reset(self) -> None:
        """Forget everything, as after a restart."""
        self._answered()
