"""What becomes of a buyer's balance: credited by the shop, captured or released with its order, given back by refunds.

Each is one statement for a batch, and moves only what is in the state it starts from or what its reference has not
moved yet; so everything moves once, however often its message comes. Every movement is two entries of the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from accounts.models import BalanceClaim, BalanceEntry, BalanceHold
from common import claims, sql
from common.errors import InvalidInput

_SETTLE = sql.Statement(Path(__file__).with_name("settle.sql"))
_GIVE_BACK = sql.Statement(Path(__file__).with_name("give_back.sql"))
_CREDIT = sql.Statement(Path(__file__).with_name("credit.sql"))
#: One credit at most: a hundred thousand yuan.
CREDIT_CENTS_MAX = 10_000_000
_Account = BalanceEntry.Account


class GivenBack(NamedTuple):
    """A part of what an order's balance had paid; `reference` makes it this one."""

    reference: str
    order_no: str
    cents: int


def capture_balance(order_nos: Sequence[str], *, now: datetime) -> None:
    """What was held for these orders is spent."""
    _settle(order_nos, BalanceHold.State.CAPTURED, _Account.SHOP, now=now)


def release_balance(order_nos: Sequence[str], *, now: datetime) -> None:
    """Give back what is held for these orders; for one whose placing has not come yet, leave a tombstone."""
    with transaction.atomic(using="accounts", savepoint=False):
        # Claimed first, in a statement of its own: a hold that is made at this moment either finds the tombstone or has
        # committed, and is then seen by the release.
        claims.claim(BalanceClaim, order_nos, origin=BalanceClaim.Origin.TOMBSTONE, now=now)
        _settle(order_nos, BalanceHold.State.RELEASED, _Account.AVAILABLE, now=now)


def give_back(parts: Sequence[GivenBack], *, now: datetime) -> None:
    """Return to balances what refunded orders had taken from them, once per reference.

    Raises: IntegrityError: more than the order had captured, or the order is not paid.
    """
    _GIVE_BACK.run("accounts", given=sql.rows([part._asdict() for part in parts]), now=now)


def credit(*, reference: str, buyer_id: int, cents: int, now: datetime) -> bool:
    """Put money on a buyer's balance, once per reference; say whether this call did.

    Raises: InvalidInput: not between one cent and `CREDIT_CENTS_MAX`.
    """
    if not 0 < cents <= CREDIT_CENTS_MAX:
        raise InvalidInput(f"A credit is 1 to {CREDIT_CENTS_MAX} cents.", field="cents")
    return bool(_CREDIT.run("accounts", reference=reference, buyer_id=buyer_id, cents=cents, now=now))


def _settle(order_nos: Sequence[str], to_state: BalanceHold.State, to_account: _Account, *, now: datetime) -> None:
    _SETTLE.run("accounts", order_nos=list(order_nos), to_state=to_state.value, to_account=to_account.value, now=now)
