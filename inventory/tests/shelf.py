"""Stock for tests: articles on the shelf, orders that want them, and whether all of it adds up."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime

from inventory.models import Reservation, Sku, StockMovement, StockRecord
from inventory.services import reserving
from inventory.services.reserving import Request, Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
#: What each kind of movement does to (available, reserved, sold), per unit.
_EFFECTS = {
    "INITIAL": (1, 0, 0),
    "ADDED": (1, 0, 0),
    "RESERVED": (-1, 1, 0),
    "RELEASED": (1, -1, 0),
    "SOLD": (0, -1, 1),
    "RETURNED": (1, 0, -1),
}


def put(**units: int) -> None:
    """`put(TEAPOT=3)`: three teapots on the shelf."""
    for sku, initial in units.items():
        Sku.objects.create(sku=sku, title=sku.title(), price_cents=1250)
        StockRecord.objects.create(sku_id=sku, initial=initial, available=initial)
        StockMovement.objects.create(
            order_no=f"initial:{sku}", sku_id=sku, kind="INITIAL", quantity=initial, moved_at=NOON
        )


def reserve(order_no: str, **needs: int) -> Verdict:
    [verdict] = reserving.reserve_stock([Request(order_no, needs)], now=NOON)
    return verdict


def counts(sku: str) -> tuple[int, int, int]:
    """Available, reserved, sold."""
    return StockRecord.objects.values_list("available", "reserved", "sold").get(sku=sku)


def reservations(order_no: str) -> dict[str, tuple[int, str]]:
    rows = Reservation.objects.filter(order_no=order_no).values_list("sku", "quantity", "state")
    return {sku: (quantity, state) for sku, quantity, state in rows}


def check_books() -> None:
    """The stock records are what the ledger says, and what is reserved and sold is what the reservations say."""
    by_ledger: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for sku, kind, quantity in StockMovement.objects.values_list("sku", "kind", "quantity"):
        for place, sign in enumerate(_EFFECTS[kind]):
            by_ledger[sku][place] += sign * quantity
    by_state: defaultdict[tuple[str, str], int] = defaultdict(int)
    for sku, state, quantity, returned in Reservation.objects.values_list("sku", "state", "quantity", "returned"):
        by_state[sku, state] += quantity - returned
    for record in StockRecord.objects.all():
        assert [record.available, record.reserved, record.sold] == by_ledger[record.sku_id]
        assert record.reserved == by_state[record.sku_id, "HELD"]
        assert record.sold == by_state[record.sku_id, "CONSUMED"]
