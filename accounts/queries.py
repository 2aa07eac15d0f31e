"""What can be asked about a buyer's account. Nothing here writes or locks."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.models import PointsAccount, User
from common.errors import NotAuthenticated


@dataclass(frozen=True)
class Account:
    username: str
    points: int


def account_of(buyer_id: int) -> Account:
    """The buyer and the buyer's points; somebody who never got any has none.

    Raises: NotAuthenticated: the account is gone or blocked.
    """
    username = User.objects.filter(pk=buyer_id, is_active=True).values_list("username", flat=True).first()
    if username is None:
        raise NotAuthenticated("This account no longer exists.")
    points = PointsAccount.objects.filter(buyer_id=buyer_id).values_list("balance", flat=True).first()
    return Account(username, points or 0)
