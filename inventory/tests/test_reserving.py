"""Holding stock: all or nothing, first come first served, once per order."""

from __future__ import annotations

import pytest

from inventory.messages import Shortage
from inventory.models import StockClaim, StockMovement
from inventory.services import reserving, settling
from inventory.services.reserving import CANCELED_BEFORE, HELD, Request
from inventory.tests import shelf
from inventory.tests.shelf import NOON

pytestmark = pytest.mark.django_db(databases=["inventory"])


class TestReserveStock:
    def test_holds_every_line(self):
        shelf.put(TEAPOT=5, CUP=20)

        verdict = shelf.reserve("M1", TEAPOT=1, CUP=6)

        assert verdict == HELD
        assert shelf.counts("TEAPOT") == (4, 1, 0)
        assert shelf.counts("CUP") == (14, 6, 0)
        assert shelf.reservations("M1") == {"TEAPOT": (1, "HELD"), "CUP": (6, "HELD")}
        shelf.check_books()

    def test_holds_nothing_when_one_line_falls_short_and_names_it(self):
        shelf.put(TEAPOT=5, CUP=2)

        verdict = shelf.reserve("M1", TEAPOT=1, CUP=6)

        assert verdict.shortages == (Shortage("CUP", wanted=6, available=2),)
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert shelf.counts("CUP") == (2, 0, 0)
        assert shelf.reservations("M1") == {}
        shelf.check_books()

    def test_names_every_line_that_falls_short(self):
        shelf.put(TEAPOT=0, CUP=2, TRAY=9)

        verdict = shelf.reserve("M1", TEAPOT=1, CUP=6, TRAY=1)

        assert {shortage.sku for shortage in verdict.shortages} == {"TEAPOT", "CUP"}

    def test_has_none_of_an_unknown_article(self):
        verdict = shelf.reserve("M1", UNICORN=1)

        assert verdict.shortages == (Shortage("UNICORN", wanted=1, available=0),)

    def test_gives_the_same_verdict_when_asked_again_and_holds_once(self):
        """Protects `fresh` in reserve_stock: without it every repetition holds again."""
        shelf.put(TEAPOT=5)

        verdicts = [shelf.reserve("M1", TEAPOT=2) for _ in range(3)]

        assert verdicts == [HELD] * 3
        assert shelf.counts("TEAPOT") == (3, 2, 0)
        shelf.check_books()

    def test_repeats_a_refusal_with_its_reason_although_stock_came_back(self):
        shelf.put(TEAPOT=1)
        shelf.reserve("M1", TEAPOT=1)
        refused = shelf.reserve("M2", TEAPOT=1)
        settling.release_stock(["M1"], now=NOON)

        again = shelf.reserve("M2", TEAPOT=1)

        assert again == refused
        assert not again.is_held
        assert again.shortages == (Shortage("TEAPOT", wanted=1, available=0),)

    def test_does_nothing_for_an_order_that_was_canceled_first(self):
        """Protects the tombstone: `claim` in release_stock."""
        shelf.put(TEAPOT=5)
        settling.release_stock(["M1"], now=NOON)

        verdict = shelf.reserve("M1", TEAPOT=1)

        assert verdict == CANCELED_BEFORE
        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert StockClaim.objects.get().origin == StockClaim.Origin.TOMBSTONE


class TestBatch:
    def test_serves_orders_in_their_order(self):
        shelf.put(TEAPOT=3)
        requests = [Request(f"M{number}", {"TEAPOT": 1}) for number in range(5)]

        verdicts = reserving.reserve_stock(requests, now=NOON)

        assert [verdict.is_held for verdict in verdicts] == [True, True, True, False, False]
        assert shelf.counts("TEAPOT") == (0, 3, 0)
        shelf.check_books()

    def test_lets_a_refused_order_take_nothing_from_the_next_one(self):
        shelf.put(TEAPOT=1, CUP=5)
        requests = [
            Request("GREEDY", {"CUP": 5, "TEAPOT": 2}),
            Request("MODEST", {"CUP": 5}),
        ]

        verdicts = reserving.reserve_stock(requests, now=NOON)

        assert [verdict.is_held for verdict in verdicts] == [False, True]

    def test_decides_an_order_that_comes_twice_once(self):
        shelf.put(TEAPOT=3)

        verdicts = reserving.reserve_stock([Request("M1", {"TEAPOT": 2})] * 2, now=NOON)

        assert verdicts == [HELD, HELD]
        assert shelf.counts("TEAPOT") == (1, 2, 0)
        shelf.check_books()

    def test_needs_the_same_few_statements_for_one_order_and_for_sixty_four(self, django_assert_num_queries):
        shelf.put(TEAPOT=100, CUP=100)
        requests = [Request(f"M{number}", {"TEAPOT": 1, "CUP": 1}) for number in range(64)]

        with django_assert_num_queries(3, using="inventory"):
            reserving.reserve_stock(requests, now=NOON)

        assert StockMovement.objects.filter(kind="RESERVED").count() == 128


class TestNeedsOf:
    def test_adds_up_lines_of_the_same_article(self):
        assert reserving.needs_of([("CUP", 2), ("TRAY", 1), ("CUP", 3)]) == {"CUP": 5, "TRAY": 1}
