from __future__ import annotations

from collections.abc import Callable

import pytest

from verify import runner
from verify.finding import Comparison
from verify.tests import world


@pytest.fixture
def shop(db: None) -> None:
    """One order in each state in which an order may rest, all of it consistent."""
    world.stock()
    for status in ("PENDING_PAYMENT", "PAID", "CLOSED", "REFUNDED", "CANCELED"):
        world.order(f"ORDER-{status}", status)
    world.order("ORDER-LATE", "CLOSED", late_payment=True)


@pytest.fixture
def check() -> Callable[[str], Comparison]:
    """Run the check of a name."""
    by_name = {one.name: one for one in runner.CHECKS}
    return lambda name: by_name[name].run()
