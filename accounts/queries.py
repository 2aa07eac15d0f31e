"""What can be asked about a buyer's account. Nothing here writes or locks; everything is filtered by its owner."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.models import Address, BalanceAccount, BalanceEntry, PointsAccount, User
from common import ids
from common.errors import NotAuthenticated, NotFound

ENTRY_COUNT_MAX = 100


@dataclass(frozen=True)
class Account:
    username: str
    points: int
    balance_cents: int
    held_cents: int


def account_of(buyer_id: int) -> Account:
    """The buyer, the buyer's points and money; somebody who never got any has none.

    Raises: NotAuthenticated: the account is gone or blocked.
    """
    username = User.objects.filter(pk=buyer_id, is_active=True).values_list("username", flat=True).first()
    if username is None:
        raise NotAuthenticated("This account no longer exists.")
    points = PointsAccount.objects.filter(buyer_id=buyer_id).values_list("balance", flat=True).first()
    balance = BalanceAccount.objects.filter(buyer_id=buyer_id).first() or BalanceAccount(buyer_id=buyer_id)
    return Account(username, points or 0, balance.available_cents, balance.held_cents)


def buyer_id_of(username: str) -> int | None:
    return User.objects.filter(username=username).values_list("pk", flat=True).first()


def available_cents(buyer_id: int) -> int:
    """What of the buyer's balance may be spent."""
    cents = BalanceAccount.objects.filter(buyer_id=buyer_id).values_list("available_cents", flat=True).first()
    return cents or 0


def balance_entries(buyer_id: int, *, limit: int) -> list[BalanceEntry]:
    """The buyer's own sides of the ledger, newest first."""
    own = [BalanceEntry.Account.AVAILABLE, BalanceEntry.Account.HELD]
    return list(BalanceEntry.objects.filter(buyer_id=buyer_id, account__in=own).order_by("-id")[:limit])


def addresses_of(buyer_id: int) -> list[Address]:
    """The default first, then the newest."""
    return list(Address.objects.filter(buyer_id=buyer_id).order_by("-is_default", "-created_at", "address_no"))


def address_of(*, buyer_id: int, address_no: str | None) -> Address | None:
    """One address of this buyer: the one of that number, or the default (None: there is none).

    Raises: NotFound: it is nobody's, or somebody else's, which looks the same from outside.
    """
    mine = Address.objects.filter(buyer_id=buyer_id)
    if address_no is None:
        return mine.filter(is_default=True).first()
    found = mine.filter(address_no=address_no).first() if ids.is_number(address_no, ids.ADDRESS) else None
    if found is None:
        raise NotFound("You have no such address.")
    return found
