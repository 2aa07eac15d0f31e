"""How fast a consumer pulls and handles, over the last minute; and what failed in the last hour.

Counted by topic, in slots of time that are forgotten when they are old.
Source: RocketMQ ConsumerStatsManager.java, ConsumeStatus.java.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any


class _Window:
    """Numbers of the last `slot_count` slots of `slot_s` seconds."""

    __slots__ = ("_slot_count", "_slot_s", "_slots")

    def __init__(self, slot_s: float, slot_count: int) -> None:
        self._slot_s = slot_s
        self._slot_count = slot_count
        self._slots: deque[list[float]] = deque()

    def add(self, now_s: float, count: int, took_s: float = 0.0) -> None:
        number = now_s // self._slot_s
        slots = self._slots
        if slots and slots[-1][0] == number:
            slots[-1][1] += count
            slots[-1][2] += took_s
        else:
            self._forget(number)
            slots.append([number, count, took_s])

    def sums(self, now_s: float) -> tuple[float, float]:
        """How many, and how long they took together."""
        self._forget(now_s // self._slot_s)
        return sum(slot[1] for slot in self._slots), sum(slot[2] for slot in self._slots)

    def _forget(self, number: float) -> None:
        while self._slots and self._slots[0][0] <= number - self._slot_count:
            self._slots.popleft()


class _Topic:
    def __init__(self) -> None:
        self.pulled, self.pulls = _Window(1, 60), _Window(1, 60)
        self.consumed, self.batches = _Window(1, 60), _Window(1, 60)
        self.failed, self.failed_in_hour = _Window(1, 60), _Window(60, 60)


class ConsumeStatistics:
    """`now_s` is a clock in seconds."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._topics: dict[str, _Topic] = defaultdict(_Topic)

    def count_pull(self, topic: str, message_count: int, took_s: float) -> None:
        """A pull that brought something."""
        now_s, counted = self._now_s(), self._topics[topic]
        counted.pulls.add(now_s, 1, took_s)
        counted.pulled.add(now_s, message_count)

    def count_batch(self, topic: str, done_count: int, failed_count: int, took_s: float) -> None:
        """What a handler made of a batch."""
        now_s, counted = self._now_s(), self._topics[topic]
        counted.batches.add(now_s, 1, took_s)
        if done_count:
            counted.consumed.add(now_s, done_count)
        if failed_count:
            counted.failed.add(now_s, failed_count)
            counted.failed_in_hour.add(now_s, failed_count)

    def status(self, topic: str) -> dict[str, Any]:
        """`ConsumeStatus`, by its wire names. Units: `RT` milliseconds, `TPS` messages per second."""
        now_s, counted = self._now_s(), self._topics[topic]
        return {
            "consumeFailedMsgs": int(counted.failed_in_hour.sums(now_s)[0]),
            "consumeFailedTPS": counted.failed.sums(now_s)[0] / 60,
            "consumeOKTPS": counted.consumed.sums(now_s)[0] / 60,
            "consumeRT": _mean_ms(counted.batches.sums(now_s)),
            "pullRT": _mean_ms(counted.pulls.sums(now_s)),
            "pullTPS": counted.pulled.sums(now_s)[0] / 60,
        }


def _mean_ms(sums: tuple[float, float]) -> float:
    count, took_s = sums
    return took_s * 1000 / count if count else 0.0
