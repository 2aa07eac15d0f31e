"""Promise B7: whatever is interleaved with whatever, and whoever dies meanwhile, the promises of the queue hold.

Each seed is one run of a simulated cluster (`mq/tests/simulation`): the same seed is the same run, callback by
callback. `MILLRACE_SEEDS=7,8` makes the first test run those instead of its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mq.store import queue_reader
from mq.tests.simulation import scenario
from mq.tests.simulation.history import History

FEW: range = range(4)
#: Of `make promises` and of `make nightly`, as many as one test plays.
MANY = [range(first, first + 28) for first in range(4, 200, 28)]
NIGHT = [range(first, first + 400) for first in range(200, 20_200, 400)]


def few_or_chosen() -> list[int]:
    chosen = os.environ.get("MILLRACE_SEEDS")
    return [int(seed) for seed in chosen.split(",")] if chosen else list(FEW)


def run_and_tell(seed: int, folder: Path) -> History:
    print(f"MILLRACE_SEEDS={seed}")
    history = scenario.run(seed, folder)
    assert len(history.wanted()) > 50
    return history


@pytest.mark.parametrize("seed", few_or_chosen())
def test_a_run_keeps_every_promise(seed: int, tmp_path: Path) -> None:
    run_and_tell(seed, tmp_path)


@pytest.mark.parametrize("seeds", [
    *(pytest.param(seeds, marks=[pytest.mark.promise, pytest.mark.timeout(600)], id=f"{seeds}") for seeds in MANY),
    *(pytest.param(seeds, marks=[pytest.mark.nightly, pytest.mark.timeout(3600)], id=f"{seeds}") for seeds in NIGHT),
])  # fmt: skip
def test_many_runs_keep_every_promise(seeds: range, memory_folder: Path, figure: Callable[[str], None]) -> None:
    seen = taken_back = 0
    for seed in seeds:
        history = run_and_tell(seed, memory_folder / f"{seed}")
        shutil.rmtree(memory_folder / f"{seed}")
        seen += len(history.wanted())
        taken_back += len(history.rolled_back)
    figure(f"B7: seeds {seeds[0]} to {seeds[-1]}: {seen} messages to see, {taken_back} taken back, no promise broken")


def test_the_same_seed_is_the_same_run_however_busy_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that failed could not be looked at again; `simulated_time` sees to it."""
    first = scenario.run(4, tmp_path / "first")
    seconds = itertools.count()
    for module in (time, queue_reader):
        monkeypatch.setattr(module, "perf_counter", lambda: float(next(seconds)))

    second = scenario.run(4, tmp_path / "second")

    assert first == second


def test_the_same_seed_is_the_same_run_in_another_process(tmp_path: Path) -> None:
    """Whose sets have another order: nothing that happens may follow from that."""
    program = (
        "import pathlib, sys; from mq.tests.simulation import scenario;"
        "print(dict(scenario.run(4, pathlib.Path(sys.argv[1])).consumed))"
    )
    consumed = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / order)],
            env=os.environ | {"PYTHONHASHSEED": order},
            capture_output=True,
            check=True,
            timeout=50,
        ).stdout
        for order in ("0", "1")
    ]

    assert consumed[0] == consumed[1]
    assert len(consumed[0]) > 1000
