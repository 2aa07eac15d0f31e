"""The command: which rows it plays, and what it says and returns at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks.growth import GROWTH
from benchmarks.results import Result, Results
from benchmarks.rows import COMPARISON


def measured(path: Path, names: list[str], ratio: float = 4.0) -> Results:
    """A file in which these rows of the comparison are measured."""
    results = Results(path)
    for name in names:
        sides = {"bundled": [{"per_second": ratio}], "apache": [{"per_second": 1.0}]}
        results.put(name, Result({}, sides))
    return results


def played(monkeypatch: pytest.MonkeyPatch, results: Path, *arguments: str) -> list[str]:
    """The names of the rows that would be played, each of which fails."""
    names: list[str] = []

    def play(rows, pace, results, directory):
        names.extend(row.name for row in rows)
        for row in rows:
            results.put(row.name, Result({}, failure="not in this test"))

    monkeypatch.setattr(command, "_play", play)
    command.main(["--results", str(results), "--quick", *arguments])
    return names


def test_plays_the_comparison_or_the_rows_about_size(monkeypatch, tmp_path):
    assert played(monkeypatch, tmp_path / "a") == [row.name for row in COMPARISON]
    assert played(monkeypatch, tmp_path / "b", "--growth") == [row.name for row in GROWTH]


def test_goes_on_where_a_run_was_cut_off(monkeypatch, tmp_path):
    measured(tmp_path / "results", ["send-64-sync"])
    rows = ("--rows", "send-64-sync,send-8-sync")

    assert played(monkeypatch, tmp_path / "results", *rows, "--continue") == ["send-8-sync"]
    assert played(monkeypatch, tmp_path / "results", *rows) == ["send-64-sync", "send-8-sync"]


@pytest.mark.parametrize(("at_least", "status"), [("2", 0), ("4.5", 1)])
def test_is_a_gate_when_told_to(tmp_path, capsys, at_least, status):
    measured(tmp_path / "results", ["send-64-sync"])
    arguments = ["--results", str(tmp_path / "results"), "--quick", "--continue", "--rows", "send-64-sync"]

    assert command.main([*arguments, "--at-least", at_least]) == status
    assert "4.00x" in capsys.readouterr().out


def test_says_which_row_could_not_be_measured(tmp_path, capsys):
    results = measured(tmp_path / "results", ["send-64-sync"])
    results.put("send-8-sync", Result({}, failure="TookTooLong: round 1\nand a long story"))
    rows = [row for row in COMPARISON if row.name in results.rows]

    assert command._verdict(rows, results, 0.0) == 1
    assert "not measured: TookTooLong: round 1\n" in capsys.readouterr().out


def test_refuses_a_row_that_does_not_exist(capsys):
    assert command.main(["--rows", "send-65"]) == 2
    assert "no such row: send-65" in capsys.readouterr().err
