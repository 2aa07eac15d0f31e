"""Playing rows: both sides in turn, the first round after a start dropped, every wait with a limit."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks.figures import UNITS, Figures
from benchmarks.limit import time_limit
from benchmarks.machine import Environment
from benchmarks.pace import Pace
from benchmarks.results import Result, Results
from benchmarks.row import Contestant, Row, Session

#: The stores of the two brokers of a session, at full size.
_DISK_BYTES = 20 << 30
_START_LIMIT_S = 150.0
_BEGAN_S = time.monotonic()


def play(rows: Sequence[Row], pace: Pace, results: Results, environment: Environment, directory: Path) -> None:
    """Measure every row and put it into the results; one that fails is noted, and the others go on."""
    if shutil.disk_usage(directory).free < _DISK_BYTES:
        say(f"{directory} has less than {_DISK_BYTES >> 30} GiB to spare: brokers may clean up or refuse messages")
    for session, of_session in groupby(rows, key=lambda row: row.session):
        left = list(of_session)
        while left:
            failure, has_started = "", False
            try:
                with _sides(session, directory) as sides:
                    has_started = True
                    failure = _play_rows(left, sides, pace, results, environment)
            except Exception as error:  # the start or the stop
                say(f"{session.name}: {_sentence(error)}")
                failure = failure or ("" if has_started else _sentence(error))
            if failure:  # of one row, and the others get a new session; or of all
                for row in left[: 1 if has_started else None]:
                    results.put(row.name, Result(dict(environment), failure=failure))
                    left.remove(row)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _play_rows(
    left: list[Row], sides: Sequence[Contestant], pace: Pace, results: Results, environment: Environment
) -> str:
    """Measure the rows of a session, each of which leaves the list when it is done; why the next one could not be."""
    prepared: set[object] = set()
    is_warm = False
    while left:
        row = left[0]
        result = Result(dict(environment))
        try:
            if row.prepare is not None and row.prepare not in prepared:
                _prepare(row, sides, pace)
            _play_row(row, sides, pace, result, is_warm=is_warm)
        except Exception as error:  # whatever it is, a night's run must not end with it
            say(f"{row.name}: {_sentence(error)}")
            return _sentence(error)
        results.put(row.name, result)
        left.remove(row)
        prepared.add(row.prepare)
        is_warm = True
    return ""


@contextlib.contextmanager
def _sides(session: Session, directory: Path) -> Iterator[list[Contestant]]:
    """Start both, and let both stand still."""
    with (
        tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=directory) as folder,
        contextlib.ExitStack() as stack,
    ):
        say(f"{session.name}: starting {' and '.join(session.sides)}")
        sides = []
        with time_limit(_START_LIMIT_S, "the start"):
            for name, opener in session.sides.items():
                side = stack.enter_context(opener(Path(folder) / name))
                side.suspend()
                sides.append(side)
        yield sides


def _prepare(row: Row, sides: Sequence[Contestant], pace: Pace) -> None:
    assert row.prepare is not None
    for side in sides:
        began_s = time.monotonic()
        with time_limit(row.prepare_limit_s, f"preparing {side.name}"), side.awake():
            row.prepare(side, pace)
        say(f"{row.name}: {side.name} prepared in {time.monotonic() - began_s:.0f} s")


def _play_row(row: Row, sides: Sequence[Contestant], pace: Pace, result: Result, *, is_warm: bool) -> None:
    for number in range(1 if is_warm else 0, pace.rounds + 1):
        for side in sides:
            os.sync()  # nobody pays for what the other one wrote
            with time_limit(row.limit_s, f"round {number} of {side.name}"), side.awake():
                figures = row.load(side, pace)
            note = f"round {number}" if number else "warm-up"
            say(f"{row.name}: {note}, {side.name}: {in_words(figures)}")
            if number:
                result.add(side.name, figures)


def in_words(figures: Figures) -> str:
    """As in "p99 4.2 ms, broker 7.1 us/message"; what speaks for itself comes without its name."""
    return ", ".join(
        f"{name.rpartition('_')[0]} {value:,.4g} {UNITS[name]}".strip() if name != "per_second" else f"{value:,.0f}/s"
        for name, value in figures.items()
        if name != "failed" or value
    )


def say(text: str) -> None:
    """To stderr: how far it is."""
    print(f"[{time.monotonic() - _BEGAN_S:6.0f} s] {text}", file=sys.stderr, flush=True)
