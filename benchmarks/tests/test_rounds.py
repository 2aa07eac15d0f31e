"""Playing rows: whose turn it is, what counts, and that nothing takes the others with it."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.pace import Pace
from benchmarks.results import Result, Results
from benchmarks.rounds import in_words, play
from benchmarks.row import Row, Session

PACE = Pace(rounds=2)


@dataclass
class Player:
    """A contestant that notes when it was its turn."""

    name: str
    diary: list[str]

    @contextlib.contextmanager
    def awake(self):
        self.diary.append(f"{self.name} wakes")
        yield
        self.diary.append(f"{self.name} sleeps")

    def suspend(self):
        self.diary.append(f"{self.name} waits")


def session(diary: list[str]) -> Session:
    def opened(name):
        return lambda folder: contextlib.nullcontext(Player(name, diary))

    return Session("two", {name: opened(name) for name in ("bundled", "apache")})


def row(name: str, of: Session, load, **more) -> Row:
    return Row(name, name.title(), of, load, **more)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results.json")


def test_rounds_alternate_and_the_first_is_not_counted(tmp_path, results):
    diary: list[str] = []
    rates = iter([1, 1, 30, 10, 40, 20])

    play([row("send", session(diary), lambda *_: {"per_second": next(rates)})], PACE, results, {}, tmp_path)

    assert results.rows["send"].sides == {
        "bundled": [{"per_second": 30}, {"per_second": 40}],
        "apache": [{"per_second": 10}, {"per_second": 20}],
    }
    turns = ["bundled wakes", "bundled sleeps", "apache wakes", "apache sleeps"]
    assert diary == ["bundled waits", "apache waits", *turns * 3]


def test_only_the_first_row_after_a_start_has_a_warm_up(tmp_path, results):
    loads: list[str] = []
    of = session([])

    def noting(name):
        def load(*_):
            loads.append(name)
            return {"per_second": 1}

        return row(name, of, load)

    play([noting("first"), noting("second")], PACE, results, {}, tmp_path)

    assert (loads.count("first"), loads.count("second")) == (6, 4)


def test_rows_with_the_same_preparation_share_it(tmp_path, results):
    prepared: list[str] = []
    of = session([])

    def prepare(side, pace):
        prepared.append(side.name)

    rows = [row(name, of, lambda *_: {"per_second": 1}, prepare=prepare) for name in ("send", "consume")]
    play(rows, PACE, results, {}, tmp_path)

    assert prepared == ["bundled", "apache"]


def test_a_row_that_fails_or_hangs_is_noted_and_the_others_go_on(tmp_path, results):
    of = session([])

    def fails(*_):
        raise RuntimeError("no route")

    def hangs(*_):
        signal.pause()

    play(
        [row("fails", of, fails), row("hangs", of, hangs, limit_s=0.1), row("works", of, lambda *_: {"per_second": 1})],
        PACE,
        results,
        {},
        tmp_path,
    )

    assert results.rows["fails"].failure == "RuntimeError: no route"
    assert "not done after" in str(results.rows["hangs"].failure)
    assert results.rows["works"].failure is None


def test_a_session_that_does_not_start_fails_once_for_all_its_rows(tmp_path, results):
    starts: list[str] = []

    def opener(folder):
        starts.append(folder.name)
        raise RuntimeError("no java here")

    of = Session("broken", {"bundled": opener, "apache": opener})
    play([row(name, of, lambda *_: {}) for name in ("send", "consume")], PACE, results, {}, tmp_path)

    assert starts == ["bundled"]
    assert [results.rows[name].failure for name in ("send", "consume")] == ["RuntimeError: no java here"] * 2


def test_what_was_measured_is_there_after_a_run_that_was_cut_off(tmp_path, results):
    of = session([])

    def cut_off(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play([row("done", of, lambda *_: {"per_second": 7}), row("not", of, cut_off)], PACE, results, {}, tmp_path)

    again = Results(tmp_path / "results.json")
    assert again.rows["done"].sides["apache"] == [{"per_second": 7}] * 2
    assert [again.is_measured(name) for name in ("done", "not")] == [True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]  # no folder of a session is left


def test_a_failed_row_is_not_measured(results):
    results.put("send", Result({}, failure="TookTooLong: the start"))

    assert not results.is_measured("send")


def test_progress_is_told_in_words():
    figures = {"per_second": 41_234.5, "p99_ms": 4.25, "broker_us": 7.123, "failed": 2}

    assert in_words(figures) == "41,234/s, p99 4.25 ms, broker 7.123 us/message, 2 failed"
    assert in_words({"per_second": 1, "failed": 0}) == "1/s"
