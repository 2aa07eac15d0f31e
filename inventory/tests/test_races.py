"""Races for stock, on the real database with real threads."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from common.testing import race, seeded
from inventory.models import Reservation
from inventory.services import reserving, settling
from inventory.services.reserving import Request
from inventory.tests import shelf
from inventory.tests.shelf import NOON

pytestmark = pytest.mark.django_db(databases=["inventory"], transaction=True)

BUYERS = 50


def one_by_one(orders: list[Request]) -> list[bool]:
    return [reserving.reserve_stock([order], now=NOON)[0].is_held for order in orders]


class TestTheLastUnit:
    def test_goes_to_exactly_one_of_fifty_buyers(self):
        """Protects `select_for_update` in reserving.py: without the lock, all buyers see the unit."""
        shelf.put(TEAPOT=1)

        verdicts = race([partial(shelf.reserve, f"M{buyer}", TEAPOT=1) for buyer in range(BUYERS)])

        held = [verdict for verdict in verdicts if not isinstance(verdict, Exception) and verdict.is_held]
        assert [verdict for verdict in verdicts if isinstance(verdict, Exception)] == []
        assert len(held) == 1
        assert shelf.counts("TEAPOT") == (0, 1, 0)
        shelf.check_books()

    def test_a_hundred_units_go_to_a_hundred_of_a_thousand(self):
        shelf.put(TEAPOT=100)
        batches = [[Request(f"M{batch}-{place}", {"TEAPOT": 1}) for place in range(50)] for batch in range(20)]

        race([partial(reserving.reserve_stock, batch, now=NOON) for batch in batches])

        assert shelf.counts("TEAPOT") == (0, 100, 0)
        assert Reservation.objects.count() == 100
        shelf.check_books()


class TestTheSameOrder:
    def test_is_reserved_once_by_two_consumers_at_the_same_moment(self):
        shelf.put(TEAPOT=500)
        for number in range(50):
            verdicts = race([partial(shelf.reserve, f"M{number}", TEAPOT=1)] * 2)
            assert all(not isinstance(verdict, Exception) and verdict.is_held for verdict in verdicts), verdicts

        assert shelf.counts("TEAPOT") == (450, 50, 0)
        shelf.check_books()

    def test_reserved_and_canceled_at_the_same_moment_keeps_nothing(self):
        """Protects `claim` in release_stock, and that it is a statement of its own.

        Without it, a release that looks while the reservation is not committed yet finds nothing to give back.
        """
        shelf.put(TEAPOT=10)
        for number in range(100):
            order_no = f"M{number}"
            results = race(
                [
                    partial(shelf.reserve, order_no, TEAPOT=1),
                    partial(settling.release_stock, [order_no], now=NOON),
                ]
            )
            assert not any(isinstance(result, Exception) for result in results), results

        assert not Reservation.objects.filter(state="HELD").exists()
        assert shelf.counts("TEAPOT") == (10, 0, 0)
        shelf.check_books()

    def test_sold_and_released_at_the_same_moment_is_one_of_both(self):
        """Protects `FOR UPDATE` of `held` in settle.sql."""
        shelf.put(TEAPOT=100)
        for number in range(100):
            order_no = f"M{number}"
            shelf.reserve(order_no, TEAPOT=1)
            race(
                [
                    partial(settling.sell_stock, [order_no], now=NOON),
                    partial(settling.release_stock, [order_no], now=NOON),
                ]
            )

        available, reserved, sold = shelf.counts("TEAPOT")
        assert reserved == 0
        assert available + sold == 100
        shelf.check_books()

    def test_canceled_in_opposite_batches_never_deadlocks(self):
        """Protects `ORDER BY order_no` in common/claims.py: tombstones for the same orders, from both ends."""
        for turn in range(20):
            orders = [f"M{turn}-{number:03}" for number in range(500)]

            results = race([partial(settling.release_stock, one, now=NOON) for one in (orders, orders[::-1])])

            assert results == [None, None]


class TestBaskets:
    def test_in_opposite_order_never_deadlock(self):
        """Protects `order_by("sku")` in reserving.py: A,B and B,A baskets, 200 of each."""
        shelf.put(A=1000, B=1000)
        forth = [Request(f"F{number}", {"A": 1, "B": 1}) for number in range(200)]
        back = [Request(f"B{number}", {"B": 1, "A": 1}) for number in range(200)]

        results = race(
            [partial(one_by_one, orders[start::2]) for orders in (forth, back) for start in (0, 1)],
        )

        assert results == [[True] * 100] * 4
        assert shelf.counts("A") == shelf.counts("B") == (600, 400, 0)
        shelf.check_books()

    def test_reserved_while_others_are_settled_never_deadlock(self):
        """Protects the second `ORDER BY ... FOR UPDATE` in settle.sql: the rows lie in the opposite order on disk."""
        skus = [f"SKU{number:02}" for number in range(40)]
        shelf.put(**dict.fromkeys(reversed(skus), 1000))
        settled = [Request(f"S{number}", dict.fromkeys(skus, 1)) for number in range(60)]
        coming = [Request(f"C{number}", dict.fromkeys(skus, 1)) for number in range(60)]
        one_by_one(settled)

        def sell(orders: list[Request]) -> None:
            for order in orders:
                settling.sell_stock([order.order_no], now=NOON)

        rivals: list[Any] = [partial(sell, settled[::2]), partial(sell, settled[1::2]), partial(one_by_one, coming)]
        assert race(rivals) == [None, None, [True] * 60]

        shelf.check_books()

    def test_settled_in_any_company_never_deadlock(self):
        """Protects the first `ORDER BY ... FOR UPDATE` in settle.sql: batches that share orders and articles."""
        chance = seeded()
        skus = ["A", "B", "C", "D"]
        shelf.put(**dict.fromkeys(skus, 5000))
        orders = [f"M{number}" for number in range(120)]
        reserving.reserve_stock(
            [Request(order_no, dict.fromkeys(chance.sample(skus, 3), 1)) for order_no in orders], now=NOON
        )
        batches = [[chance.sample(orders, 30) for _ in range(40)] for _ in range(4)]

        def settle(move, batches: list[list[str]]) -> None:
            for batch in batches:
                move(batch, now=NOON)

        moves = [settling.sell_stock, settling.release_stock, settling.sell_stock, settling.release_stock]
        results = race([partial(settle, move, given) for move, given in zip(moves, batches, strict=True)])

        assert results == [None] * 4
        shelf.check_books()
