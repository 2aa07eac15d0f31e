"""Balance: held once per order and never more than there is; captured or released; given back to the cent."""

from __future__ import annotations

from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, transaction

from accounts.models import BalanceAccount, BalanceEntry, BalanceHold, User
from accounts.services import balance, holding
from accounts.services.balance import GivenBack
from accounts.services.holding import CANCELED_BEFORE, HELD, Request, Verdict
from accounts.tests import purse
from accounts.tests.purse import ALICE, BOB, NOON
from common.errors import InvalidInput
from common.testing import race, seeded


@pytest.mark.django_db(databases=["accounts"])
class TestHold:
    def test_moves_what_the_order_wants(self):
        purse.fill(1000)

        assert purse.hold("M1", 300) == HELD

        assert purse.counts() == (700, 300)
        purse.check_books()

    @pytest.mark.parametrize("has_cents", [0, 299])
    def test_refuses_more_than_there_is_and_says_how_much_that_is(self, has_cents: int):
        if has_cents:
            purse.fill(has_cents)

        assert purse.hold("M1", 300) == Verdict(is_held=False, available_cents=has_cents)

        assert not BalanceHold.objects.exists()
        purse.check_books()

    def test_gives_the_same_verdict_when_asked_again_and_holds_once(self):
        """Protects `fresh` in hold_balance."""
        purse.fill(1000)

        assert [purse.hold("M1", 600) for _ in range(3)] == [HELD] * 3
        refused = purse.hold("M2", 600)
        balance.release_balance(["M1"], now=NOON)

        assert purse.hold("M2", 600) == refused == Verdict(is_held=False, available_cents=400)
        assert purse.counts() == (1000, 0)

    def test_does_nothing_for_an_order_that_ended_first(self):
        """Protects the tombstone: `claims.claim` in release_balance."""
        purse.fill(1000)
        balance.release_balance(["M1"], now=NOON)

        assert purse.hold("M1", 300) == CANCELED_BEFORE

        assert purse.counts() == (1000, 0)

    def test_needs_the_same_few_statements_for_one_order_and_for_sixty_four(self, django_assert_num_queries):
        purse.fill(1000)

        with django_assert_num_queries(3, using="accounts"):
            verdicts = holding.hold_balance([Request(f"M{number}", ALICE, 10) for number in range(64)], now=NOON)

        assert verdicts == [HELD] * 64
        purse.check_books()

    def test_lets_a_refused_order_take_nothing_from_the_next_one(self):
        purse.fill(100)

        verdicts = holding.hold_balance([Request("GREEDY", ALICE, 101), Request("MODEST", ALICE, 100)], now=NOON)

        assert [verdict.is_held for verdict in verdicts] == [False, True]


@pytest.mark.django_db(databases=["accounts"])
class TestSettle:
    def test_spends_what_is_held_once(self):
        purse.fill(1000)
        purse.hold("M1", 300)

        for _ in range(2):
            balance.capture_balance(["M1"], now=NOON)
            balance.release_balance(["M1"], now=NOON)

        assert purse.counts() == (700, 0)
        assert purse.total(account="SHOP") == 300
        purse.check_books()

    def test_gives_back_what_is_held_once(self):
        purse.fill(1000)
        purse.hold("M1", 300)

        for _ in range(2):
            balance.release_balance(["M1"], now=NOON)
            balance.capture_balance(["M1"], now=NOON)

        assert purse.counts() == (1000, 0)
        assert purse.total(account="SHOP") == 0
        purse.check_books()


@pytest.mark.django_db(databases=["accounts"])
class TestGiveBack:
    @pytest.fixture(autouse=True)
    def paid(self) -> None:
        purse.fill(1000)
        purse.hold("M1", 300)
        balance.capture_balance(["M1"], now=NOON)

    def test_returns_parts_once_per_reference(self):
        for _ in range(2):
            balance.give_back([GivenBack("R1", "M1", 100), GivenBack("R2", "M1", 50)], now=NOON)

        assert purse.counts() == (850, 0)
        assert purse.total(account="SHOP") == 150
        purse.check_books()

    def test_refuses_more_than_was_captured(self):
        """Protects the check `hold_returned_at_most`."""
        balance.give_back([GivenBack("R1", "M1", 200)], now=NOON)

        with pytest.raises(IntegrityError), transaction.atomic(using="accounts"):
            balance.give_back([GivenBack("R2", "M1", 101)], now=NOON)

        assert purse.counts() == (900, 0)

    def test_refuses_what_is_only_held(self):
        purse.hold("M2", 10)

        with pytest.raises(IntegrityError), transaction.atomic(using="accounts"):
            balance.give_back([GivenBack("R1", "M2", 10)], now=NOON)


@pytest.mark.django_db(databases=["accounts"])
class TestCredit:
    def test_adds_once_per_reference(self):
        credits = [balance.credit(reference="C1", buyer_id=ALICE, cents=500, now=NOON) for _ in range(3)]

        assert credits == [True, False, False]
        assert purse.counts() == (500, 0)
        purse.check_books()

    @pytest.mark.parametrize("cents", [0, -1, balance.CREDIT_CENTS_MAX + 1])
    def test_refuses_strange_amounts(self, cents: int):
        with pytest.raises(InvalidInput):
            balance.credit(reference="C1", buyer_id=ALICE, cents=cents, now=NOON)

    def test_is_a_command(self):
        buyer = User.objects.create(username="alice")
        said = StringIO()

        for _ in range(2):
            call_command("credit", "alice", "12.34", reference="C1", stdout=said)
        with pytest.raises(CommandError, match="no buyer"):
            call_command("credit", "mallory", "1.00", reference="C2")

        assert said.getvalue().splitlines() == ["12.34 credited.", "This reference was credited before."]
        assert purse.counts(buyer.pk) == (1234, 0)


@pytest.mark.django_db(databases=["accounts"])
class TestTables:
    def test_refuse_to_change_the_ledger(self):
        purse.fill(1000)

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(using="accounts"):
            BalanceEntry.objects.update(cents=5000)

    def test_refuse_a_debt(self):
        purse.fill(1000)

        with pytest.raises(IntegrityError), transaction.atomic(using="accounts"):
            BalanceAccount.objects.update(available_cents=-1)


@pytest.mark.django_db(databases=["accounts"], transaction=True)
class TestRaces:
    def test_bug_29_parallel_orders_never_take_a_balance_below_zero(self):
        """Protects `select_for_update` in holding.py, behind which `balance_never_negative` refuses what slips by."""
        for buyer_id in range(1, 4):
            purse.fill(1000, buyer_id)

            verdicts = race([partial(purse.hold, f"M{buyer_id}-{number}", 300, buyer_id) for number in range(12)])

            assert [one for one in verdicts if isinstance(one, Exception)] == []
            assert sum(verdict.is_held for verdict in verdicts) == 3
            assert purse.counts(buyer_id) == (100, 900)
        purse.check_books()

    def test_held_and_released_in_the_same_moment_keeps_nothing(self):
        """Protects `claims.claim` in release_balance, and that it is a statement of its own."""
        purse.fill(1000)
        for number in range(15):
            results = race(
                [
                    partial(purse.hold, f"M{number}", 100),
                    partial(balance.release_balance, [f"M{number}"], now=NOON),
                ]
            )
            assert not any(isinstance(result, Exception) for result in results), results

        assert purse.counts() == (1000, 0)
        purse.check_books()

    def test_captured_and_released_in_the_same_moment_is_one_of_both(self):
        """Protects `FOR UPDATE` of `held` in settle.sql."""
        purse.fill(5000)
        for number in range(15):
            purse.hold(f"M{number}", 100)
            results = race(
                [
                    partial(balance.capture_balance, [f"M{number}"], now=NOON),
                    partial(balance.release_balance, [f"M{number}"], now=NOON),
                ]
            )
            assert results == [None, None]

        available_cents, held_cents = purse.counts()
        assert held_cents == 0
        assert available_cents + purse.total(account="SHOP") == 5000
        purse.check_books()

    def test_batches_in_any_company_never_deadlock(self):
        """Protects `order_by("buyer_id")` in holding.py and the `ORDER BY ... FOR UPDATE` of settle.sql."""
        chance = seeded()
        for buyer_id in (ALICE, BOB, 3, 4):
            purse.fill(100_000, buyer_id)
        orders = [Request(f"M{number}", chance.choice([ALICE, BOB, 3, 4]), 1) for number in range(120)]

        def work(batches: list[list[Request]]) -> None:
            for batch in batches:
                holding.hold_balance(batch, now=NOON)
                chance.choice([balance.capture_balance, balance.release_balance])(
                    [one.order_no for one in batch], now=NOON
                )

        batches = [[chance.sample(orders, 30) for _ in range(8)] for _ in range(4)]
        assert race([partial(work, given) for given in batches]) == [None] * 4

        purse.check_books()
