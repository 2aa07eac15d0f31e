"""One real payment company per module, with a clock that tests move, and a merchant with a mailbox for callbacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paysim.testing import PaysimProcess
from paysim.tests.merchant import Mailbox, Merchant


@pytest.fixture(scope="module")
def offset_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def paysim(tmp_path_factory: pytest.TempPathFactory, offset_file: Path) -> Iterator[PaysimProcess]:
    with PaysimProcess(tmp_path_factory.mktemp("paysim"), clock_offset_file=offset_file) as process:
        yield process


@pytest.fixture(scope="module")
def merchant(paysim: PaysimProcess, offset_file: Path) -> Merchant:
    return Merchant(paysim, offset_file=offset_file)


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.close()


_numbers = itertools.count(1)


@pytest.fixture
def order_no() -> str:
    return f"RETRO-CLOCK-{next(_numbers)}"


@pytest.fixture
def pay(paysim: PaysimProcess, merchant: Merchant, mailbox: Mailbox) -> Callable[[str], str]:
    """Open the cashier for 49.90 and press "pay"; the trade number."""

    def at_the_cashier(order_no: str) -> str:
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=mailbox.url))
        return str(paysim.press(visit["token"]).raise_for_status().json()["trade_no"])

    return at_the_cashier


@pytest.fixture
def pass_time(offset_file: Path) -> Callable[[float], None]:
    def forward(minutes: float) -> None:
        offset_ms = int.from_bytes(offset_file.read_bytes(), "big", signed=True) if offset_file.exists() else 0
        offset_file.write_bytes((offset_ms + int(minutes * 60_000)).to_bytes(8, "big", signed=True))

    return forward
