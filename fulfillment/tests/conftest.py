from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fulfillment.partners import client
from fulfillment.tests.world import World
from shipsim.testing import ShipsimProcess


@pytest.fixture(scope="module")
def offset_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def shipsim(tmp_path_factory: pytest.TempPathFactory, offset_file: Path) -> Iterator[ShipsimProcess]:
    with ShipsimProcess(tmp_path_factory.mktemp("partners"), clock_offset_file=offset_file) as process:
        yield process


@pytest.fixture
def world(shipsim: ShipsimProcess, offset_file: Path, settings: Any) -> Iterator[World]:
    settings.SHIPSIM_URL = shipsim.url
    client.close_connections()
    shipsim.heal()
    yield World(shipsim, offset_file)
    client.close_connections()
