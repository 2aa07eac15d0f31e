"""What is measured: named figures, their units, which way is better, and the aims for them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

#: What one round of one load showed, by the names in `UNITS`.
Figures = dict[str, float]

UNITS: Final = {
    "per_second": "messages/s",
    "average_ms": "ms",
    "max_ms": "ms",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "p99.9_ms": "ms",
    "late_p99_ms": "ms",  # how late the generator itself was: part of the durations above
    "broker_us": "us/message",  # processor time of the broker
    "broker_percent": "% of a core",
    "client_percent": "% of a core",
    "idle_percent": "% of the machine",
    "private_mb": "MiB",  # anonymous memory; mapped pages of the log belong to the system's cache
    "start_s": "s",
    "failed": "failed",
}
MORE_IS_BETTER: Final = frozenset({"per_second"})


@dataclass(frozen=True)
class Aim:
    """A limit for the first side's median; or, with `times`, for how many times better it is than the second side."""

    figure: str
    limit: float
    times: bool = False

    def __str__(self) -> str:
        if self.times:
            what = "" if self.figure in ("per_second", "start_s") else f"{self.figure.removesuffix('_ms')} "
            return f"{what}>= {self.limit:g}x"
        sign = ">=" if self.figure in MORE_IS_BETTER else "<="
        name = "" if self.figure in ("per_second", "start_s", "private_mb") else self.figure.rpartition("_")[0] + " "
        return f"{name}{sign} {self.limit:,g} {UNITS[self.figure]}"

    def is_met(self, first: Sequence[Figures], second: Sequence[Figures]) -> bool:
        if self.times:
            return times_better(self.figure, first, second) >= self.limit
        value = median(self.figure, first)
        return value >= self.limit if self.figure in MORE_IS_BETTER else value <= self.limit


def median(figure: str, rounds: Iterable[Figures]) -> float:
    """NaN when no round has the figure."""
    values = [one[figure] for one in rounds if figure in one]
    return statistics.median(values) if values else float("nan")


def times_better(figure: str, first: Sequence[Figures], second: Sequence[Figures]) -> float:
    """How many times better the first side's median is."""
    return _times(figure, median(figure, first), median(figure, second))


def spread(figure: str, first: Sequence[Figures], second: Sequence[Figures]) -> tuple[float, float]:
    """The worst and the best of the ratios of neighboring rounds."""
    pairs = [_times(figure, *pair) for pair in zip(_all(figure, first), _all(figure, second), strict=False)]
    return (min(pairs), max(pairs)) if pairs else (float("nan"), float("nan"))


def _all(figure: str, rounds: Iterable[Figures]) -> list[float]:
    return [one.get(figure, float("nan")) for one in rounds]


def _times(figure: str, first: float, second: float) -> float:
    above, below = (first, second) if figure in MORE_IS_BETTER else (second, first)
    return above / below if below else float("nan")
