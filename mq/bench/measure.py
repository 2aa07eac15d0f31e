"""What a load took: rates, percentiles, and the machine they belong to.

A figure without its machine says nothing, and a load generator that used its whole core measured itself: both are part
of every report.
"""

from __future__ import annotations

import math
import os
import platform
import resource
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

PERCENTILES = (50.0, 99.0, 99.9)
#: Above this share of a core the generator is likely what was measured.
GENERATOR_LIMIT_PERCENT = 80


class Durations:
    """Many durations, in seconds."""

    def __init__(self) -> None:
        self._seconds = array("d")

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def clear(self) -> None:
        del self._seconds[:]

    def summary_ms(self) -> dict[str, float]:
        """Percentiles by nearest rank, and the largest, in milliseconds; empty when there are none."""
        ordered = sorted(self._seconds)
        if not ordered:
            return {}
        summary = {
            # Rounded first: 99.9 % of 1000 is 999.0000000000001 in floating point, and its ceiling would be 1000.
            f"p{percentile:g}": ordered[math.ceil(round(percentile * len(ordered) / 100, 6)) - 1]
            for percentile in PERCENTILES
        }
        summary["max"] = ordered[-1]
        return {name: round(seconds * 1000, 3) for name, seconds in summary.items()}


@dataclass(slots=True)
class Report:
    """One load: how many messages in how many seconds, durations by name, failures by reason."""

    load: str
    settings: dict[str, Any]
    messages: int = 0
    seconds: float = 0.0
    generator_cpu_seconds: float = 0.0
    durations: dict[str, Durations] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.messages / self.seconds if self.seconds else 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count the time and the processor time of what runs inside."""
        began_s, began_cpu_s = time.perf_counter(), _cpu_seconds()
        try:
            yield
        finally:
            self.seconds = time.perf_counter() - began_s
            self.generator_cpu_seconds = _cpu_seconds() - began_cpu_s

    def to_dict(self) -> dict[str, Any]:
        busy_percent = 100 * self.generator_cpu_seconds / self.seconds if self.seconds else 0.0
        return {
            "load": self.load,
            "settings": self.settings,
            "messages": self.messages,
            "seconds": round(self.seconds, 3),
            "messages_per_second": round(self.rate),
            "latency_ms": {name: durations.summary_ms() for name, durations in self.durations.items()},
            "failures": dict(self.failures),
            "generator_cpu_percent": round(busy_percent),
            "bottleneck": "the generator" if busy_percent > GENERATOR_LIMIT_PERCENT else "not the generator",
            "environment": environment(),
        }

    def to_json(self) -> str:
        return msgspec.json.encode(self.to_dict()).decode()

    def to_text(self) -> str:
        """The same for people."""
        report = self.to_dict()
        lines = [f"{self.load}: {self.messages:,} messages in {self.seconds:.2f} s, {self.rate:,.0f} per second"]
        for name, summary in report["latency_ms"].items():
            lines.append(f"  {name:<12}" + "  ".join(f"{key} {value:.2f} ms" for key, value in summary.items()))
        lines += [f"  failed       {count} times: {reason}" for reason, count in self.failures.items()]
        lines.append(
            f"  generator    {report['generator_cpu_percent']} % of a core; the bottleneck is {report['bottleneck']}"
        )
        lines.append("  settings     " + "  ".join(f"{key}={value}" for key, value in self.settings.items()))
        lines.append("  environment  " + "  ".join(f"{key}={value}" for key, value in report["environment"].items()))
        return "\n".join(lines)


def environment() -> dict[str, str]:
    """Machine and versions."""
    found = {
        "cpu": _cpu_name(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "msgspec": msgspec.__version__,
    }
    commit = _commit(Path(__file__).resolve().parents[2] / ".git")
    return {**found, "commit": commit} if commit else found


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit(git: Path) -> str | None:
    """The checked-out commit, when this is a working copy."""
    try:
        head = (git / "HEAD").read_text().strip()
        return (git / head[5:]).read_text()[:12] if head.startswith("ref: ") else head[:12]
    except OSError:
        return None
