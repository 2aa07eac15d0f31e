"""Points: one for every full yuan of a paid order, once per order; taken back when the order is refunded.

The ledger's unique key (order, kind) decides; the balance moves by what was really entered, in the same statement. A
balance may become negative when points are taken back that were spent already: the buyer owes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from accounts.models import PointsEntry
from common import sql

_ENTER = sql.Statement(Path(__file__).with_name("points.sql"))
CENTS_PER_POINT = 100


class Purchase(NamedTuple):
    """What earns points, or loses them again."""

    order_no: str
    buyer_id: int
    total_cents: int

    @property
    def points(self) -> int:
        return self.total_cents // CENTS_PER_POINT


def grant_points(purchases: Sequence[Purchase], *, now: datetime) -> None:
    _enter(purchases, PointsEntry.Kind.GRANTED, sign=+1, now=now)


def revoke_points(purchases: Sequence[Purchase], *, now: datetime) -> None:
    _enter(purchases, PointsEntry.Kind.REVOKED, sign=-1, now=now)


def _enter(purchases: Sequence[Purchase], kind: PointsEntry.Kind, *, sign: int, now: datetime) -> None:
    entries = [{"order_no": one.order_no, "buyer_id": one.buyer_id, "points": sign * one.points} for one in purchases]
    _ENTER.run("accounts", entries=sql.rows(entries), kind=kind.value, now=now)
