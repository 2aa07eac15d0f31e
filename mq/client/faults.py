"""Which brokers to leave alone for a while, because they were slow or failed: the slower, the longer.

A send that failed counts as one of ten seconds. When every broker is to be left alone, one that could at least be
reached is as good as any. With the detector on, a broker that could not be reached stays out until it answers again;
without it, until its time is over.
Source: RocketMQ MQFaultStrategy.java, LatencyFaultToleranceImpl.java; remoting sheet 12.1.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: From this latency on (ms) a broker is left alone for so long (ms). Source: MQFaultStrategy 5.3.
LATENCY_MS: Final = (50, 100, 550, 1800, 3000, 5000, 15000)
NOT_AVAILABLE_MS: Final = (0, 0, 2000, 5000, 6000, 10000, 30000)
_FAILURE_MS: Final = 10_000


@dataclass(slots=True)
class _Broker:
    not_before_s: float = 0.0
    is_reachable: bool = True


class LatencyFaults:
    """`now_s` is a clock in seconds; `has_detector` says that somebody calls `reached` for what cannot be reached."""

    def __init__(self, now_s: Callable[[], float], *, has_detector: bool = False) -> None:
        self._now_s = now_s
        self._has_detector = has_detector
        self._brokers: dict[str, _Broker] = {}

    def answered(self, broker_name: str, latency_s: float) -> None:
        """A send succeeded after so long."""
        self._note(broker_name, latency_s * 1000).is_reachable = True

    def refused(self, broker_name: str) -> None:
        """A send was answered with an error that may pass."""
        self._note(broker_name, _FAILURE_MS)

    def lost(self, broker_name: str) -> None:
        """A send was not answered, or could not even leave."""
        self._note(broker_name, _FAILURE_MS).is_reachable = not self._has_detector

    def reached(self, broker_name: str) -> None:
        """The detector got an answer."""
        if broker_name in self._brokers:
            self._brokers[broker_name].is_reachable = True

    def is_available(self, broker_name: str) -> bool:
        broker = self._brokers.get(broker_name)
        return broker is None or (broker.is_reachable and self._now_s() >= broker.not_before_s)

    def is_reachable(self, broker_name: str) -> bool:
        broker = self._brokers.get(broker_name)
        return broker is None or broker.is_reachable

    @property
    def unreachable(self) -> list[str]:
        return [name for name, broker in self._brokers.items() if not broker.is_reachable]

    def _note(self, broker_name: str, latency_ms: float) -> _Broker:
        broker = self._brokers.setdefault(broker_name, _Broker())
        step = bisect_right(LATENCY_MS, latency_ms) - 1
        pause_ms = NOT_AVAILABLE_MS[step] if step >= 0 else 0
        if pause_ms:  # A fast answer does not end a pause; only time does.
            broker.not_before_s = max(broker.not_before_s, self._now_s() + pause_ms / 1000)
        return broker
