"""What becomes of held stock: given back when the order ends, sold when it is paid, returned when it is refunded.

Each is one statement for a batch of orders. `settle.sql` moves only what is in the state it starts from, `return.sql`
only what its refund has not returned yet; so each order's stock moves once, however often and in whatever company its
message comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from common import sql
from common.claims import claim
from inventory.models import Reservation, StockClaim, StockMovement

_SETTLE = sql.Statement(Path(__file__).with_name("settle.sql"))
_RETURN = sql.Statement(Path(__file__).with_name("return.sql"))
_State = Reservation.State


class Return(NamedTuple):
    """Units of one article that a refund brings back."""

    order_no: str
    refund_no: str
    sku: str
    quantity: int


@dataclass(frozen=True)
class _Move:
    """From which state to which, told in the ledger as what, and how each unit changes the stock record."""

    from_state: Reservation.State
    to_state: Reservation.State
    kind: StockMovement.Kind
    available: int = 0
    reserved: int = 0
    sold: int = 0


_RELEASE = _Move(_State.HELD, _State.RELEASED, StockMovement.Kind.RELEASED, reserved=-1, available=+1)
_SELL = _Move(_State.HELD, _State.CONSUMED, StockMovement.Kind.SOLD, reserved=-1, sold=+1)


def release_stock(order_nos: Sequence[str], *, now: datetime) -> None:
    """Give back what is held for these orders; for one whose reservation has not come yet, leave a tombstone."""
    with transaction.atomic(using="inventory", savepoint=False):
        # Claimed first, in a statement of its own: a reservation that runs at this moment either finds the tombstone or
        # has committed, and is then seen by the release.
        claim(StockClaim, order_nos, origin=StockClaim.Origin.TOMBSTONE, now=now)
        _settle(order_nos, _RELEASE, now=now)


def sell_stock(order_nos: Sequence[str], *, now: datetime) -> None:
    """What was held for these orders is theirs now."""
    _settle(order_nos, _SELL, now=now)


def return_stock(returns: Sequence[Return], *, now: datetime) -> None:
    """Units of refunds are back on the shelf, each refund's once.

    Raises: AssertionError: more units than the order had bought and not returned.
    """
    rows = [one._asdict() for one in returns]
    [(short,)] = _RETURN.run("inventory", returns=sql.rows(rows), now=now)
    assert short == 0, f"{short} lines return more than was sold: {returns}"


def _settle(order_nos: Sequence[str], move: _Move, *, now: datetime) -> None:
    _SETTLE.run(
        "inventory",
        order_nos=list(order_nos),
        from_state=move.from_state.value,
        to_state=move.to_state.value,
        kind=move.kind.value,
        available=move.available,
        reserved=move.reserved,
        sold=move.sold,
        now=now,
    )
