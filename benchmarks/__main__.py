"""`python -m benchmarks`: measure rows, keep the figures, write the page.

Progress goes to stderr, one line for each round. Exit status 1 when a row could not be measured, or when a ratio is
below `--at-least`; 130 when it was interrupted. An interrupted run leaves no process and no folder behind; `--continue`
goes on with the rows that are missing.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import machine, page, rounds
from benchmarks.figures import times_better
from benchmarks.growth import GROWTH
from benchmarks.pace import Pace
from benchmarks.results import Results
from benchmarks.row import Row
from benchmarks.rows import COMPARISON
from tests.interop import apache
from tests.interop.maven import PROJECT

RESULTS = PROJECT / ".millrace" / "benchmark.json"
QUICK = Pace(java_s=12.0, own_s=2.0, rounds=1, size=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    known = {row.name: row for row in (*COMPARISON, *GROWTH)}
    if options.list:
        print("\n".join(f"{row.name:24} {row.title}" for row in known.values()))
        return 0
    names = options.rows.split(",") if options.rows else [row.name for row in options.table]
    if unknown := [name for name in names if name not in known]:
        print(f"no such row: {', '.join(unknown)}; see --list", file=sys.stderr)
        return 2
    results = Results(options.results)
    missing = [name for name in names if not (options.go_on and results.is_measured(name))]
    directory = options.directory or Path(tempfile.gettempdir())
    try:
        _play([row for name, row in known.items() if name in missing], _pace(options), results, directory)
    except KeyboardInterrupt:
        print("interrupted: --continue goes on with the rows that are missing", file=sys.stderr)
        return 130
    if not options.quick:
        page.update(COMPARISON, GROWTH, results)
    return _verdict([known[name] for name in names], results, options.at_least)


def _play(rows: Sequence[Row], pace: Pace, results: Results, directory: Path) -> None:
    if not rows:
        return
    signal.signal(signal.SIGTERM, _end)
    if any("apache" in row.session.sides for row in rows):
        apache.build()
    split = "not pinned: broker, name server and load share all cores"
    environment = machine.describe(directory, rounds=str(pace.rounds), size=f"{pace.size:g}", split=split)
    rounds.play(rows, pace, results, environment, directory)


def _verdict(rows: Sequence[Row], results: Results, at_least: float) -> int:
    status = 0
    for row in rows:
        result = results.rows[row.name]
        if result.failure is not None:
            print(f"{row.name:24} not measured: {result.failure.splitlines()[0]}")
            status = 1
            continue
        first, second = (result.sides[side] for side in row.session.sides)
        ratio = times_better(row.figure, first, second)
        aims = "; ".join(f"{aim}: {'yes' if aim.is_met(first, second) else 'NO'}" for aim in row.aims)
        print(f"{row.name:24} {ratio:6.2f}x  {aims}")
        if ratio < at_least:
            status = 1
    return status


def _pace(options: argparse.Namespace) -> Pace:
    base = QUICK if options.quick else Pace()
    return Pace(
        java_s=options.java_seconds or base.java_s,
        own_s=options.own_seconds or base.own_s,
        rounds=options.rounds or base.rounds,
        size=options.size or base.size,
    )


def _end(number: int, frame: FrameType | None) -> None:
    """SIGTERM as Ctrl-C: everything that was started is stopped on the way out."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="the names of the rows")
    parser.add_argument("--rows", metavar="NAME,NAME", help="these only")
    parser.add_argument(
        "--growth",
        dest="table",
        action="store_const",
        const=GROWTH,
        default=COMPARISON,
        help="the rows about size in place of the comparison",
    )
    parser.add_argument("--continue", dest="go_on", action="store_true", help="only what --results does not have yet")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="(.millrace/benchmark.json)")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="for the stores, some 20 GB (the system's)")
    parser.add_argument("--quick", action="store_true", help="one short round of each, small sizes, no page")
    parser.add_argument("--rounds", type=int, metavar="COUNT", help="counted rounds of each side (3)")
    parser.add_argument("--java-seconds", type=float, metavar="S", help="a round of a Java class (13, at least 12)")
    parser.add_argument("--own-seconds", type=float, metavar="S", help="a round of our own loads (5)")
    parser.add_argument("--size", type=float, metavar="FACTOR", help="for backlogs and other sizes (1)")
    parser.add_argument("--at-least", type=float, default=0.0, metavar="RATIO", help="exit status 1 below it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
