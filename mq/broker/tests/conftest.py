"""One broker per test and clients for it, all in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mq.broker.app import Broker
from mq.broker.tests.wire import Wire, start_broker


@pytest.fixture
async def broker(tmp_path) -> AsyncIterator[Broker]:
    running = await start_broker(tmp_path / "store")
    yield running
    await running.stop()


@pytest.fixture
async def new_wire(broker: Broker) -> AsyncIterator[Callable[..., Wire]]:
    """Makes further clients, each with its own connection."""
    wires: list[Wire] = []

    def make(*args: Any) -> Wire:
        wires.append(Wire(broker, *args))
        return wires[-1]

    yield make
    for wire in wires:
        await wire.close()


@pytest.fixture
async def wire(new_wire: Callable[..., Wire]) -> Wire:
    return new_wire()
