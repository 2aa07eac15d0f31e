"""Who used how much processor time between two moments of a round."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from benchmarks import questions
from benchmarks.figures import Figures
from benchmarks.sides import Side


@dataclass(frozen=True)
class Usage:
    """One moment: processor seconds of the broker, of the load, and of nobody; messages stored."""

    at_s: float
    broker_s: float
    client_s: float
    idle_s: float
    stored: int

    @classmethod
    def now(cls, side: Side, client: psutil.Process, topic: str) -> Usage:
        stored = questions.stored(side.namesrv, topic)
        machine, its = psutil.cpu_times(), client.cpu_times()
        return cls(
            time.monotonic(),
            side.cpu_seconds(),
            its.user + its.system,
            machine.idle + getattr(machine, "iowait", 0.0),
            stored,
        )

    def until(self, after: Usage) -> Figures:
        seconds = after.at_s - self.at_s
        return {
            "broker_percent": 100 * (after.broker_s - self.broker_s) / seconds,
            "client_percent": 100 * (after.client_s - self.client_s) / seconds,
            "idle_percent": 100 * (after.idle_s - self.idle_s) / seconds / (psutil.cpu_count() or 1),
        }
