"""docs/performance.md: what a run writes into it stands between two marks; everything else is written by people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import plots, tables
from benchmarks.results import Results
from benchmarks.row import Row
from tests.interop.maven import PROJECT

PAGE = PROJECT / "docs" / "performance.md"


def update(comparison: Sequence[Row], growth: Sequence[Row], results: Results, page: Path = PAGE) -> None:
    """Write tables and plots of everything that was measured.  Raises: ValueError: the page lacks a mark."""
    compared = [(row, results.rows[row.name]) for row in comparison if results.is_measured(row.name)]
    grown = [(row, results.rows[row.name]) for row in growth if results.is_measured(row.name)]
    text = page.read_text()
    for mark, lines in {
        "comparison": tables.comparison(compared),
        "time": tables.where_time_went(compared),
        "growth": tables.growth(grown),
        "machine": tables.machines(result for _, result in (*compared, *grown)),
    }.items():
        text = between_marks(text, mark, lines)
    page.write_text(text)
    folder = page.parent / page.stem
    folder.mkdir(exist_ok=True)
    (folder / "ratios.svg").write_text(plots.ratios(compared))
    (folder / "latency.svg").write_text(plots.latency(compared))
    (folder / "growth.svg").write_text(plots.growth(grown))


def between_marks(text: str, mark: str, lines: Iterable[str]) -> str:
    """The text with these lines between `<!-- measured: MARK -->` and `<!-- end -->`."""
    begin, end = f"<!-- measured: {mark} -->\n", "<!-- end -->"
    before, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"the page lacks the lines {begin.strip()} and {end}")
    return before + begin + "".join(f"{line}\n" for line in lines) + rest[rest.index(end) :]
