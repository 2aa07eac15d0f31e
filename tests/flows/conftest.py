from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.embedded.testing import RedisProcess
from mq.clock import move_offset_file
from payments.gateway import keys
from paysim.testing import PaysimProcess
from shipsim.testing import ShipsimProcess
from tests.flows.shop import Shop, running_shop


@pytest.fixture
def partners(tmp_path: Path) -> Iterator[ShipsimProcess]:
    """The warehouse, which takes half an hour, and the carrier, which takes a day."""
    with ShipsimProcess(tmp_path, clock_offset_file=tmp_path / "clock-offset") as process:
        yield process


@pytest.fixture
def shop(tmp_path: Path, partners: ShipsimProcess, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop that has just opened: nobody's orders but this test's, at the payment company, too."""
    clock_file = tmp_path / "clock-offset"
    move_offset_file(clock_file, 0)
    settings.NOTIFICATIONS_OUTBOX = tmp_path / "outbox"
    with RedisProcess(tmp_path) as redis, PaysimProcess(tmp_path, clock_offset_file=clock_file) as paysim:
        settings.REDIS_URL = redis.url
        settings.SHIPSIM_URL = partners.url
        settings.CLOCK_OFFSET_FILE = clock_file
        settings.PAYSIM_URL = paysim.url
        settings.OPEN_ORDERS_PER_BUYER_MAX = 1000
        settings.PAYMENT_KEYS = paysim.keys
        settings.PAYMENT_PRIVATE_KEY = tmp_path / "shop-private.pem"
        keys.own()
        with running_shop(tmp_path, paysim, clock_file, settings, monkeypatch) as shop:
            yield shop
