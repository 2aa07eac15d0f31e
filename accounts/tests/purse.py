"""Balance for tests: money on an account, orders that want some, and whether the books agree."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import Sum

from accounts.models import BalanceAccount, BalanceEntry, BalanceHold
from accounts.services import balance, holding
from accounts.services.holding import Request, Verdict

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALICE, BOB = 1, 2


def fill(cents: int, buyer_id: int = ALICE) -> None:
    balance.credit(reference=f"gift-{buyer_id}", buyer_id=buyer_id, cents=cents, now=NOON)


def hold(order_no: str, cents: int, buyer_id: int = ALICE) -> Verdict:
    [verdict] = holding.hold_balance([Request(order_no, buyer_id, cents)], now=NOON)
    return verdict


def counts(buyer_id: int = ALICE) -> tuple[int, int]:
    """Available, held."""
    return BalanceAccount.objects.values_list("available_cents", "held_cents").get(buyer_id=buyer_id)


def total(**which: object) -> int:
    return int(BalanceEntry.objects.filter(**which).aggregate(sum=Sum("cents", default=0))["sum"])


def check_books() -> None:
    """Every movement adds up to nothing, every account is the sum of its entries, and holds say the same."""
    movements = BalanceEntry.objects.values("reference", "kind").annotate(sum=Sum("cents"))
    assert not [one for one in movements if one["sum"]]
    for account in BalanceAccount.objects.all():
        mine = {"buyer_id": account.buyer_id}
        assert account.available_cents == total(account="AVAILABLE", **mine)
        assert account.held_cents == total(account="HELD", **mine)
        held = BalanceHold.objects.filter(state="HELD", **mine).aggregate(sum=Sum("cents", default=0))["sum"]
        assert account.held_cents == held
