from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest


@pytest.fixture
def chance() -> random.Random:
    """Randomness that can be had again: `MILLRACE_SEED=7`."""
    seed = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
    print(f"MILLRACE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says what was measured, at the end of the run."""
    return lambda text: record_property("figure", text)
