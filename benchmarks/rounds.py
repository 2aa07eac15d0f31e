"""Playing rows: both sides in turn, the first round after a start dropped, every wait with a limit."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from subprocess import SubprocessError

from benchmarks.figures import UNITS, Figures
from benchmarks.limit import TookTooLong, time_limit
from benchmarks.machine import Environment
from benchmarks.pace import Pace
from benchmarks.results import Result, Results
from benchmarks.row import Contestant, Row, Session
from mq.errors import MQError

#: What a broker or a load can do to us; anything else is a mistake of this program and ends it.
TROUBLE = (TookTooLong, TimeoutError, RuntimeError, AssertionError, OSError, MQError, SubprocessError, ExceptionGroup)
_START_LIMIT_S = 150.0
_BEGAN_S = time.monotonic()


def play(rows: Sequence[Row], pace: Pace, results: Results, environment: Environment, directory: Path) -> None:
    """Measure every row and put it into the results; one that fails is noted, and the others go on."""
    for session, of_session in groupby(rows, key=lambda row: row.session):
        left = list(of_session)
        while left:
            row = left[0]
            try:
                with _sides(session, directory) as sides:
                    done: set[object] = set()
                    while left:
                        row = left[0]
                        result = Result(dict(environment))
                        if row.prepare is not None and row.prepare not in done:
                            _prepare(row, sides, pace)
                        _play_row(row, sides, pace, result, is_warm=bool(done))
                        results.put(row.name, result)
                        left.remove(row)
                        done |= {row, row.prepare}
            except TROUBLE as error:
                if row in left:  # else: it was the stopping that went wrong
                    left.remove(row)
                    results.put(row.name, Result(dict(environment), failure=f"{type(error).__name__}: {error}"))
                say(f"{row.name}: {type(error).__name__}: {error}")


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
    return ", ".join(f"{name.rpartition('_')[0]} {value:,.4g} {UNITS[name]}" for name, value in figures.items())


def say(text: str) -> None:
    """To stderr: how far it is."""
    print(f"[{time.monotonic() - _BEGAN_S:6.0f} s] {text}", file=sys.stderr, flush=True)
