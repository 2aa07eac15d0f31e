"""What tests of every layer share: a folder in memory, and randomness that can be had again."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A new folder in memory where the system has such a place, else on disk: files on disk cost 20 times as much."""
    if not _IN_MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="millrace-", dir=_IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def seed() -> int:
    """Where randomness begins; a test that fails shows it, and `MILLRACE_SEED=7` has it again."""
    number = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
    print(f"MILLRACE_SEED={number}")
    return number


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)
