"""What becomes of held stock: each move once, from one state, and nothing else."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from common.testing import seeded
from inventory.models import Reservation, StockMovement, StockRecord
from inventory.services import settling
from inventory.tests import shelf
from inventory.tests.shelf import NOON

pytestmark = pytest.mark.django_db(databases=["inventory"])

MOVES = {
    "release": settling.release_stock,
    "sell": settling.sell_stock,
    "return": settling.return_stock,
}
#: From each state, the one move that does something, the state it leads to, and available, reserved, sold after it.
ALLOWED = {
    ("HELD", "release"): ("RELEASED", (5, 0, 0)),
    ("HELD", "sell"): ("CONSUMED", (3, 0, 2)),
    ("CONSUMED", "return"): ("RETURNED", (5, 0, 0)),
}
ROADS = {"HELD": [], "RELEASED": ["release"], "CONSUMED": ["sell"], "RETURNED": ["sell", "return"]}


class TestEveryPair:
    @pytest.mark.parametrize("move", MOVES)
    @pytest.mark.parametrize("state", Reservation.State.values)
    def test_moves_when_allowed_and_else_changes_nothing(self, state: str, move: str):
        """Protects `state = from_state` in settle.sql."""
        shelf.put(TEAPOT=5)
        shelf.reserve("M1", TEAPOT=2)
        for step in ROADS[state]:
            MOVES[step](["M1"], now=NOON)
        before = shelf.counts("TEAPOT")

        MOVES[move](["M1"], now=NOON)

        expected_state, expected_counts = ALLOWED.get((state, move), (state, before))
        assert shelf.reservations("M1") == {"TEAPOT": (2, expected_state)}
        assert shelf.counts("TEAPOT") == expected_counts
        shelf.check_books()


class TestSettling:
    @pytest.mark.parametrize("move", ["release", "sell"])
    def test_has_one_effect_however_often_it_is_asked(self, move: str):
        shelf.put(TEAPOT=5)
        shelf.reserve("M1", TEAPOT=2)

        for _ in range(3):
            MOVES[move](["M1", "M1"], now=NOON)

        assert StockMovement.objects.filter(order_no="M1").count() == 2
        shelf.check_books()

    def test_moves_a_batch_of_orders_and_leaves_the_others(self):
        shelf.put(TEAPOT=5, CUP=9)
        shelf.reserve("M1", TEAPOT=1, CUP=2)
        shelf.reserve("M2", CUP=3)
        shelf.reserve("M3", CUP=4)

        settling.sell_stock(["M2", "M1"], now=NOON)

        assert shelf.counts("CUP") == (0, 4, 5)
        assert shelf.counts("TEAPOT") == (4, 0, 1)
        shelf.check_books()

    def test_lets_the_next_buyer_have_what_was_given_back(self):
        shelf.put(TEAPOT=1)
        shelf.reserve("M1", TEAPOT=1)
        settling.release_stock(["M1"], now=NOON)

        assert shelf.reserve("M2", TEAPOT=1).is_held

    def test_keeps_the_books_through_any_sequence(self):
        """Everything, in any order and often twice: the records stay what the ledger says."""
        chance = seeded()
        shelf.put(TEAPOT=20, CUP=30, TRAY=3)
        orders = [f"M{number}" for number in range(30)]
        for _ in range(200):
            if chance.random() < 0.4:
                needs = {sku: chance.randint(1, 4) for sku in chance.sample(["TEAPOT", "CUP", "TRAY"], 2)}
                shelf.reserve(chance.choice(orders), **needs)
            else:
                MOVES[chance.choice(list(MOVES))](chance.sample(orders, 3), now=NOON)

        shelf.check_books()


class TestTables:
    """What the database refuses by itself, whatever the code above it does."""

    def test_refuse_a_negative_stock(self):
        shelf.put(TEAPOT=1)

        with pytest.raises(IntegrityError, match="stock_never_negative"), transaction.atomic(using="inventory"):
            StockRecord.objects.update(available=-1, reserved=2)

    def test_refuse_units_from_nowhere(self):
        shelf.put(TEAPOT=1)

        with pytest.raises(IntegrityError, match="stock_adds_up"), transaction.atomic(using="inventory"):
            StockRecord.objects.update(available=2)

    def test_refuse_the_same_movement_twice(self):
        shelf.put(TEAPOT=1)
        shelf.reserve("M1", TEAPOT=1)

        with pytest.raises(IntegrityError, match="movement_once"), transaction.atomic(using="inventory"):
            StockMovement.objects.create(order_no="M1", sku_id="TEAPOT", kind="RESERVED", quantity=1, moved_at=NOON)

    @pytest.mark.parametrize("change", ["update", "delete"])
    def test_refuse_to_change_the_ledger(self, change: str):
        shelf.put(TEAPOT=1)
        ledger = StockMovement.objects.all()

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(using="inventory"):
            ledger.update(quantity=7) if change == "update" else ledger.delete()
