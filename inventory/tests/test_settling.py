"""What becomes of held stock: each move once, from one state, and nothing else."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from common.testing import seeded
from inventory.models import Reservation, StockMovement, StockRecord
from inventory.services import settling
from inventory.services.settling import Return
from inventory.tests import shelf
from inventory.tests.shelf import NOON

pytestmark = pytest.mark.django_db(databases=["inventory"])

MOVES = {
    "release": settling.release_stock,
    "sell": settling.sell_stock,
}
#: From each state, the one move that does something, the state it leads to, and available, reserved, sold after it.
ALLOWED = {
    ("HELD", "release"): ("RELEASED", (5, 0, 0)),
    ("HELD", "sell"): ("CONSUMED", (3, 0, 2)),
}
ROADS = {"HELD": [], "RELEASED": ["release"], "CONSUMED": ["sell"], "RETURNED": ["sell"]}


def give_back(order_no: str, refund_no: str, **quantities: int) -> None:
    """Protected by the transaction that a consumer runs in: all or nothing."""
    with transaction.atomic(using="inventory"):
        settling.return_stock(
            [Return(order_no, refund_no, sku, quantity) for sku, quantity in quantities.items()], now=NOON
        )


class TestEveryPair:
    @pytest.mark.parametrize("move", MOVES)
    @pytest.mark.parametrize("state", Reservation.State.values)
    def test_moves_when_allowed_and_else_changes_nothing(self, state: str, move: str):
        """Protects `state = from_state` in settle.sql."""
        shelf.put(TEAPOT=5)
        shelf.reserve("M1", TEAPOT=2)
        for step in ROADS[state]:
            MOVES[step](["M1"], now=NOON)
        if state == "RETURNED":
            give_back("M1", "R1", TEAPOT=2)
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

    def test_returns_an_order_in_parts_each_refund_once(self):
        """Protects `ON CONFLICT` in return.sql."""
        shelf.put(TEAPOT=5, CUP=9)
        shelf.reserve("M1", TEAPOT=3, CUP=2)
        settling.sell_stock(["M1"], now=NOON)

        for _ in range(3):
            give_back("M1", "R1", TEAPOT=1)
        assert (shelf.counts("TEAPOT"), shelf.counts("CUP")) == ((3, 0, 2), (7, 0, 2))
        assert shelf.reservations("M1")["TEAPOT"] == (3, "CONSUMED")
        for _ in range(3):
            give_back("M1", "R2", TEAPOT=2, CUP=2)

        assert (shelf.counts("TEAPOT"), shelf.counts("CUP")) == ((5, 0, 0), (9, 0, 0))
        assert shelf.reservations("M1") == {"TEAPOT": (3, "RETURNED"), "CUP": (2, "RETURNED")}
        shelf.check_books()

    def test_refuses_to_return_more_than_was_sold(self):
        """Protects the constraint `reservation_returned`: other orders' sold units are none to return."""
        shelf.put(TEAPOT=5)
        shelf.reserve("M1", TEAPOT=3)
        shelf.reserve("M2", TEAPOT=2)
        settling.sell_stock(["M1", "M2"], now=NOON)
        give_back("M1", "R1", TEAPOT=2)

        with pytest.raises(IntegrityError, match="reservation_returned"):
            give_back("M1", "R2", TEAPOT=2)

        assert shelf.counts("TEAPOT") == (2, 0, 3)
        shelf.check_books()

    def test_refuses_to_return_what_was_never_sold(self):
        shelf.put(TEAPOT=5)
        shelf.reserve("M1", TEAPOT=3)

        with pytest.raises(AssertionError, match="more than was sold"):
            give_back("M1", "R1", TEAPOT=1)

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
            for sold in Reservation.objects.filter(state="CONSUMED", returned=0).order_by("?")[: chance.random() < 0.3]:
                give_back(sold.order_no, f"R{chance.random()}", **{sold.sku_id: chance.randint(1, sold.quantity)})

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
