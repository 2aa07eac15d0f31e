"""The page: what a run writes between its marks."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import page, plots, rows, tables
from benchmarks.growth import GROWTH
from benchmarks.results import Result, Results
from benchmarks.svg import dots

BUSY = {"broker_percent": 40.0, "client_percent": 150.0, "idle_percent": 2.0}


def result(**sides: dict[str, float]) -> Result:
    return Result(
        {"commit": "0123456789", "when": "2026-11-27 12:00 UTC"}, {name: [one] for name, one in sides.items()}
    )


def send_row():
    ours = {"per_second": 40_000, "average_ms": 1.5, "broker_us": 12.0, **BUSY}
    theirs = {"per_second": 8_000, "average_ms": 8.0, "broker_us": 90.0, "failed": 3, **BUSY}
    (row,) = [one for one in rows.COMPARISON if one.name == "send-64-sync"]
    return row, result(bundled=ours, apache=theirs)


def test_a_line_shows_both_figures_their_ratio_and_the_aims():
    line = list(tables.comparison([send_row()]))[2]

    assert line == (
        "| 64 senders, SYNC_FLUSH | 40,000/s, mean 1.5 ms | 8,000/s, mean 8 ms, 3 failed | 5.00x (5.00-5.00) "
        "| >= 4.5x<br>**missed:** broker <= 11 us/message | 12.0 / 90.0 |"
    )


def test_a_generator_that_was_late_is_told():
    (row,) = [one for one in rows.COMPARISON if one.name == "latency-2000"]
    on_time = {"per_second": 2000, "p50_ms": 0.8, "p99_ms": 2.0, "p99.9_ms": 5.0, "late_p99_ms": 0.3}

    line = list(tables.comparison([(row, result(bundled=on_time, apache=on_time | {"late_p99_ms": 40.0}))]))[2]

    assert "| p50 / p99 / p99.9 0.8 / 2 / 5 ms |" in line
    assert "| p50 / p99 / p99.9 0.8 / 2 / 5 ms, of that, the generator was late: p99 40 ms |" in line


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        (BUSY, "all cores, the load most of it"),
        ({"broker_percent": 97, "client_percent": 50, "idle_percent": 25}, "the broker's loop"),
        ({"client_percent": 97}, "the load's loop"),
        ({"broker_percent": 40, "client_percent": 40, "idle_percent": 55}, "waiting for each other and the disk"),
    ],
)
def test_it_says_what_a_round_was_bound_by(shares, words):
    assert tables.bound_by([shares]) == words


def test_only_what_stands_between_the_marks_is_written():
    old = "# Title\n<!-- measured: time -->\nold\n<!-- end -->\ntail\n"

    assert page.between_marks(old, "time", ["new"]) == old.replace("old", "new")
    with pytest.raises(ValueError, match="lacks"):
        page.between_marks(old, "machine", [])


def test_the_page_of_the_repository_has_every_mark(tmp_path):
    copy = tmp_path / "performance.md"
    copy.write_text(page.PAGE.read_text())
    results = Results(tmp_path / "results.json")
    row, measured = send_row()
    results.put(row.name, measured)

    page.update(rows.COMPARISON, GROWTH, results, copy)

    assert "40,000/s" in copy.read_text()
    assert "- commit: 0123456789" in copy.read_text()
    assert "Not measured yet." in copy.read_text()  # of growth
    for name in ("ratios", "latency"):
        ElementTree.parse(tmp_path / "performance" / f"{name}.svg")


def test_a_plot_has_a_bar_for_every_row():
    plot = ElementTree.fromstring(plots.ratios([send_row()] * 3))

    assert len(plot.findall(".//{*}rect")) == 1 + 3


def test_dots_lie_on_a_logarithmic_scale():
    plot = ElementTree.fromstring(
        dots("Latency", {"p99": {"a": 1.0, "b": 10.0, "c": 100.0}}, dict.fromkeys("abc", "#000"))
    )
    left, middle, right = (float(dot.get("cx", "")) for dot in plot.findall(".//{*}circle")[:3])

    assert middle - left == pytest.approx(right - middle, abs=0.2)


def test_no_two_rows_have_the_same_name():
    names = [row.name for row in (*rows.COMPARISON, *GROWTH)]

    assert len(set(names)) == len(names)
