"""Promise B7: whatever is interleaved with whatever, and whoever dies meanwhile, the promises of the queue hold.

Each seed is one run of a simulated cluster (`mq/tests/simulation`): the same seed is the same run, callback by
callback. `MILLRACE_SEEDS=7,8` makes the first test run those instead of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mq.tests.simulation import scenario

#: Runs of the ordinary suite, and of `make promises`.
FEW, MANY = range(4), range(4, 200)


def few_or_chosen() -> list[int]:
    chosen = os.environ.get("MILLRACE_SEEDS")
    return [int(seed) for seed in chosen.split(",")] if chosen else list(FEW)


def run_and_tell(seed: int, folder: Path) -> None:
    history = scenario.run(seed, folder)

    print(f"seed {seed}: {len(history.wanted())} messages to see, {len(history.rolled_back)} taken back")
    assert len(history.wanted()) > 50


@pytest.mark.parametrize("seed", few_or_chosen())
def test_a_run_keeps_every_promise(seed: int, tmp_path: Path) -> None:
    run_and_tell(seed, tmp_path)


@pytest.mark.promise
@pytest.mark.parametrize("seed", MANY)
def test_many_runs_keep_every_promise(seed: int, tmp_path: Path) -> None:
    run_and_tell(seed, tmp_path)


def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    """Else a run that failed could not be looked at again."""
    first, second = (scenario.run(1, tmp_path / name) for name in ("first", "second"))

    assert first == second
