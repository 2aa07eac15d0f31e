"""Points: by the full yuan, once per order, whoever asks at the same moment."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import DatabaseError, transaction
from django.db.models import Sum

from accounts.models import PointsAccount, PointsDebt, PointsEntry
from accounts.services import points
from accounts.services.points import NotEnoughPoints, Purchase, Revocation
from common.testing import race

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALICE, BOB = 1, 2


def balance(buyer_id: int = ALICE) -> int:
    return PointsAccount.objects.values_list("balance", flat=True).get(buyer_id=buyer_id)


def check_balances() -> None:
    for account in PointsAccount.objects.all():
        entries = PointsEntry.objects.filter(buyer_id=account.buyer_id)
        assert account.balance - account.owed == entries.aggregate(sum=Sum("points"))["sum"]


@pytest.mark.django_db(databases=["accounts"])
class TestGrantPoints:
    @pytest.mark.parametrize(("cents", "expected"), [(1, 0), (99, 0), (100, 1), (199, 1), (12_345, 123)])
    def test_gives_one_for_every_full_yuan(self, cents: int, expected: int):
        points.grant_points([Purchase("M1", ALICE, cents)], now=NOON)

        assert balance() == expected

    def test_gives_them_once_per_order(self):
        """Protects `ON CONFLICT` and the sum over `entered` in points.sql."""
        for _ in range(3):
            points.grant_points([Purchase("M1", ALICE, 500)] * 2, now=NOON)

        assert balance() == 5
        check_balances()

    def test_adds_up_several_orders_of_several_buyers(self):
        points.grant_points(
            [Purchase("M1", ALICE, 500), Purchase("M2", BOB, 700), Purchase("M3", ALICE, 300)], now=NOON
        )
        points.grant_points([Purchase("M4", ALICE, 100)], now=NOON)

        assert (balance(ALICE), balance(BOB)) == (9, 7)
        check_balances()


@pytest.mark.django_db(databases=["accounts"])
class TestRevokePoints:
    def test_takes_back_what_the_order_gave_once(self):
        points.grant_points([Purchase("M1", ALICE, 500), Purchase("M2", ALICE, 300)], now=NOON)

        for _ in range(2):
            points.revoke_points([Revocation("M1", "R1", ALICE, 500, 0)], now=NOON)

        assert balance() == 3
        check_balances()

    def test_takes_back_what_the_parts_are_worth_to_the_point(self):
        """Three refunds of 1.50 of an order of 5.00: what is kept is worth 5, 3, 2 and 0 points after each."""
        points.grant_points([Purchase("M1", ALICE, 500)], now=NOON)

        left = []
        for number, (before, after) in enumerate([(500, 350), (350, 200), (200, 50)]):
            points.revoke_points([Revocation("M1", f"R{number}", ALICE, before, after)], now=NOON)
            left.append(balance())

        assert left == [3, 2, 0]
        check_balances()

    def test_bug_31_points_that_are_spent_already_become_a_debt_that_is_paid_off_first(self):
        """Protects `greatest` in points.sql and the constraint `points_never_negative`."""
        points.grant_points([Purchase("M1", ALICE, 500)], now=NOON)
        points.spend_points(buyer_id=ALICE, points=4, reference="GIFT-1", now=NOON)

        for _ in range(2):
            points.revoke_points([Revocation("M1", "R1", ALICE, 500, 0)], now=NOON)

        account = PointsAccount.objects.get()
        assert (account.balance, account.owed) == (0, 4)
        assert list(PointsDebt.objects.values_list("refund_no", "points")) == [("R1", 4)]
        points.grant_points([Purchase("M2", ALICE, 1000)], now=NOON)
        account.refresh_from_db()
        assert (account.balance, account.owed) == (6, 0)
        check_balances()

    def test_tells_which_refunds_of_a_batch_made_the_debt(self):
        points.grant_points(
            [Purchase("M1", ALICE, 500), Purchase("M2", ALICE, 300), Purchase("M3", BOB, 100)], now=NOON
        )
        points.spend_points(buyer_id=ALICE, points=6, reference="GIFT-1", now=NOON)

        points.revoke_points(
            [
                Revocation("M1", "R1", ALICE, 500, 0),
                Revocation("M2", "R2", ALICE, 300, 0),
                Revocation("M3", "R3", BOB, 100, 0),
            ],
            now=NOON,
        )

        assert dict(PointsDebt.objects.values_list("refund_no", "points")) == {"R1": 3, "R2": 3}
        assert balance(BOB) == 0
        check_balances()


@pytest.mark.django_db(databases=["accounts"])
class TestSpendPoints:
    def test_takes_them_once_per_reference(self):
        points.grant_points([Purchase("M1", ALICE, 500)], now=NOON)

        for _ in range(3):
            points.spend_points(buyer_id=ALICE, points=2, reference="GIFT-1", now=NOON)

        assert balance() == 3
        check_balances()

    def test_refuses_more_than_there_are(self):
        points.grant_points([Purchase("M1", ALICE, 500)], now=NOON)

        with pytest.raises(NotEnoughPoints):
            points.spend_points(buyer_id=ALICE, points=6, reference="GIFT-1", now=NOON)
        with pytest.raises(NotEnoughPoints):
            points.spend_points(buyer_id=BOB, points=1, reference="GIFT-2", now=NOON)


@pytest.mark.django_db(databases=["accounts"])
class TestTables:
    def test_refuse_to_change_the_ledger(self):
        points.grant_points([Purchase("M1", ALICE, 500)], now=NOON)

        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(using="accounts"):
            PointsEntry.objects.update(points=5000)


@pytest.mark.django_db(databases=["accounts"], transaction=True)
class TestRaces:
    def test_orders_of_one_buyer_at_the_same_moment_lose_nothing(self):
        grants = [
            partial(points.grant_points, [Purchase(f"M{number // 2}", ALICE, 100)], now=NOON) for number in range(60)
        ]

        assert race(grants) == [None] * 60

        assert balance() == 30
        check_balances()

    def test_opposite_batches_never_deadlock(self):
        """Protects `ORDER BY order_no` in points.sql: the same orders of the same buyers, from both ends."""
        for turn in range(20):
            purchases = [Purchase(f"M{turn}-{buyer:03}", buyer, 100) for buyer in range(100)]

            results = race([partial(points.grant_points, one, now=NOON) for one in (purchases, purchases[::-1])])

            assert results == [None, None]

        check_balances()
