"""docs/performance.md: what a run writes into it stands between two marks; everything else is written by people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import plots, tables
from benchmarks.results import Results
from benchmarks.row import Row
from tests.interop.maven import PROJECT

PAGE = PROJECT / "docs" / "performance.md"
NOTHING = ["Not measured yet."]
#: File and description of each plot.
RATIOS = ("ratios.svg", "How many times better than Apache RocketMQ 5.3.3, row by row, with spread and aim")
LATENCY = ("latency.svg", "Percentiles of the latency of both brokers")
GROWTH = ("growth.svg", "A full broker against one with little in it")


def update(comparison: Sequence[Row], growth: Sequence[Row], results: Results, page: Path = PAGE) -> None:
    """Write tables and plots of everything that was measured.  Raises: ValueError: the page lacks a mark."""
    compared = [(row, results.rows[row.name]) for row in comparison if results.is_measured(row.name)]
    grown = [(row, results.rows[row.name]) for row in growth if results.is_measured(row.name)]
    text = page.read_text()
    for mark, lines in {
        "comparison": [*tables.comparison(compared), *_pictures(page, RATIOS, LATENCY)] if compared else NOTHING,
        "time": tables.where_time_went(compared) if compared else NOTHING,
        "growth": [*tables.growth(grown), *_pictures(page, GROWTH)] if grown else NOTHING,
        "machine": tables.machines(result for _, result in (*compared, *grown)),
    }.items():
        text = between_marks(text, mark, lines)
    page.write_text(text)
    folder = page.parent / page.stem
    folder.mkdir(exist_ok=True)
    if compared:
        (folder / RATIOS[0]).write_text(plots.ratios(compared))
        (folder / LATENCY[0]).write_text(plots.latency(compared))
    if grown:
        (folder / GROWTH[0]).write_text(plots.growth(grown))


def _pictures(page: Path, *pictures: tuple[str, str]) -> Iterator[str]:
    for file, what in pictures:
        yield ""
        yield f"![{what}]({page.stem}/{file})"


def between_marks(text: str, mark: str, lines: Iterable[str]) -> str:
    """The text with these lines between `<!-- measured: MARK -->` and `<!-- end -->`."""
    begin, end = f"<!-- measured: {mark} -->\n", "<!-- end -->"
    before, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"the page lacks the lines {begin.strip()} and {end}")
    return before + begin + "".join(f"{line}\n" for line in lines) + rest[rest.index(end) :]
