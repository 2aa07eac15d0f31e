"""Promise B7: whatever is interleaved with whatever, and whoever dies meanwhile, the promises of the queue hold.

Each seed is one run of a simulated cluster (`mq/tests/simulation`): the same seed is the same run, callback by
callback. `MILLRACE_SEEDS=7,8` makes the first test run those instead of its own.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

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


def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    """Else a run that failed could not be looked at again."""
    first, second = (scenario.run(1, tmp_path / name) for name in ("first", "second"))

    assert first == second
