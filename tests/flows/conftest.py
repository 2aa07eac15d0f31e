from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mq.clock import move_offset_file
from payments.gateway import keys
from paysim.testing import PaysimProcess
from shipsim.testing import ShipsimProcess
from tests.flows.shop import Shop, running_shop


@pytest.fixture
def shop(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop that has just opened: nobody's orders but this test's, at the payment company, too."""
    clock_file = tmp_path / "clock-offset"
    move_offset_file(clock_file, 0)
    # Nobody is there to pack unless a test says so: then an order stays PAID, and its parcel is asked for in vain.
    settings.SHIPSIM_URL = f"unix://{tmp_path}/shipsim.sock"
    with PaysimProcess(tmp_path, clock_offset_file=clock_file) as paysim:
        settings.CLOCK_OFFSET_FILE = clock_file
        settings.PAYSIM_URL = paysim.url
        settings.PAYMENT_KEYS = paysim.keys
        settings.PAYMENT_PRIVATE_KEY = tmp_path / "shop-private.pem"
        keys.own()
        with running_shop(tmp_path, paysim, clock_file, settings, monkeypatch) as shop:
            yield shop


@pytest.fixture
def partners(tmp_path: Path, shop: Shop) -> Iterator[ShipsimProcess]:
    """The warehouse and the carrier of that shop."""
    with ShipsimProcess(tmp_path, clock_offset_file=tmp_path / "clock-offset") as process:
        yield process
