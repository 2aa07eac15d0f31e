"""Points: one for every full yuan of a paid order, once per order; taken back as the order is refunded, share by share.

The ledger's unique key (order, kind, refund) decides; the account moves by what was really entered, in the same
transaction. Points that are taken back although they were spent are a debt (`PointsDebt`): the balance stays at 0, and
what is granted later pays the debt off first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from accounts.models import PointsAccount, PointsEntry
from common import sql
from common.errors import ShopError

_OPEN = sql.Statement(Path(__file__).with_name("open_accounts.sql"))
_ENTER = sql.Statement(Path(__file__).with_name("points.sql"))
CENTS_PER_POINT = 100
_Kind = PointsEntry.Kind


class NotEnoughPoints(ShopError):
    """The buyer has fewer points than are to be spent."""

    code = "NOT_ENOUGH_POINTS"


class Purchase(NamedTuple):
    """What earns points."""

    order_no: str
    buyer_id: int
    total_cents: int

    @property
    def points(self) -> int:
        return self.total_cents // CENTS_PER_POINT


class Revocation(NamedTuple):
    """A refund, and what the order was worth before and after: the points in between go."""

    order_no: str
    refund_no: str
    buyer_id: int
    before_cents: int
    after_cents: int

    @property
    def points(self) -> int:
        return self.before_cents // CENTS_PER_POINT - self.after_cents // CENTS_PER_POINT


def grant_points(purchases: Sequence[Purchase], *, now: datetime) -> None:
    _enter([(one.order_no, "", one.buyer_id, one.points) for one in purchases], _Kind.GRANTED, now=now)


def revoke_points(refunds: Sequence[Revocation], *, now: datetime) -> None:
    _enter([(one.order_no, one.refund_no, one.buyer_id, -one.points) for one in refunds], _Kind.REVOKED, now=now)


def spend_points(*, buyer_id: int, points: int, reference: str, now: datetime) -> None:
    """Take points for something that `reference` names; the same reference again takes nothing.

    Raises: NotEnoughPoints: a debt counts as having none.
    """
    with transaction.atomic(using="accounts"):
        account = PointsAccount.objects.select_for_update().filter(buyer_id=buyer_id).first()
        if PointsEntry.objects.filter(order_no=reference, kind=_Kind.SPENT).exists():
            return
        if account is None or account.balance < points:
            raise NotEnoughPoints("You have fewer points than that.", balance=account.balance if account else 0)
        _enter([(reference, "", buyer_id, -points)], _Kind.SPENT, now=now)


def _enter(entries: Sequence[tuple[str, str, int, int]], kind: PointsEntry.Kind, *, now: datetime) -> None:
    rows = [
        {"order_no": order_no, "reference": reference, "buyer_id": buyer_id, "points": points}
        for order_no, reference, buyer_id, points in entries
    ]
    with transaction.atomic(using="accounts", savepoint=False):
        # A statement of its own: only what is executed after it sees what a rival has done to the balance.
        _OPEN.run("accounts", buyers=sorted({buyer_id for _, _, buyer_id, _ in entries}))
        _ENTER.run("accounts", entries=sql.rows(rows), kind=kind.value, now=now)
