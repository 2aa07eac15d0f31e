from __future__ import annotations

from collections.abc import Iterator

import pytest

from messaging.tests import clockmaker


@pytest.fixture
def workshop(transactional_db: None) -> Iterator[None]:
    """The table that effects go to, in a database where commits are real."""
    clockmaker.create_effects()
    yield
    clockmaker.drop_effects()
