"""The plots of docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import svg
from benchmarks.figures import median, spread, times_better
from benchmarks.tables import Measured, sides

COLORS = dict(zip(("bundled", "apache"), svg.COLORS, strict=True))


def ratios(measured: Measured) -> str:
    return svg.bars("How many times better than Apache RocketMQ 5.3.3", _bars(measured))


def growth(measured: Measured) -> str:
    return svg.bars("A full broker against one with little in it", _bars(measured))


def latency(measured: Measured) -> str:
    """Percentiles of the rows that have them, ours and Apache's."""
    lines: dict[str, Mapping[str, float]] = {}
    for row, result in measured:
        first, second = sides(row, result)
        if "p99_ms" in first[0]:
            for name in ("p50", "p99", "p99.9"):
                lines[f"{row.name}, {name}"] = {
                    "bundled": median(f"{name}_ms", first),
                    "apache": median(f"{name}_ms", second),
                }
    return svg.dots("Milliseconds, bundled broker and Apache RocketMQ 5.3.3", lines, COLORS)


def _bars(measured: Measured) -> list[svg.Bar]:
    """Rows whose ratio says something to the eye: a start that is sixty times quicker would flatten all others."""
    bars = []
    for row, result in measured:
        if row.figure == "start_s":
            continue
        first, second = sides(row, result)
        low, high = spread(row.figure, first, second)
        aims = [aim.limit for aim in row.aims if aim.times and aim.figure == row.figure]
        bars.append(svg.Bar(row.title, times_better(row.figure, first, second), low, high, aims[0] if aims else None))
    return bars
