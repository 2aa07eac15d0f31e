"""Holding balance for orders: first come, first served, and never more than there is.

A batch is four short statements, as inventory's reserving is: claim the orders, lock the buyers' accounts in their
order, decide here, and hold everything in one go (`hold.sql`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from django.db import transaction

from accounts.models import BalanceAccount, BalanceClaim
from common import claims, sql

_HOLD = sql.Statement(Path(__file__).with_name("hold.sql"))


class Request(NamedTuple):
    """What one order wants of its buyer's balance."""

    order_no: str
    buyer_id: int
    cents: int


@dataclass(frozen=True)
class Verdict:
    """What became of a request: held, too little there, or canceled before it came."""

    is_held: bool
    #: Of a refused one: what was available.
    available_cents: int | None = None


HELD = Verdict(is_held=True)
CANCELED_BEFORE = Verdict(is_held=False)


def hold_balance(requests: Sequence[Request], *, now: datetime) -> list[Verdict]:
    """Decide every request, in their order; a request that was decided before gets the same verdict again."""
    with transaction.atomic(using="accounts", savepoint=False):
        fresh = claims.claim(
            BalanceClaim, [one.order_no for one in requests], origin=BalanceClaim.Origin.PLACING, now=now
        )
        verdicts = _earlier_verdicts([one.order_no for one in requests if one.order_no not in fresh])
        undecided = list({one.order_no: one for one in requests if one.order_no in fresh}.values())
        decided = _decide(undecided, _lock_available(undecided))
        _hold([one for one in undecided if decided[one.order_no].is_held], now=now)
        refused = {order_no: verdict.available_cents for order_no, verdict in decided.items() if not verdict.is_held}
        claims.remember_refusals(BalanceClaim, refused)
    verdicts |= decided
    return [verdicts[one.order_no] for one in requests]


def _lock_available(requests: Iterable[Request]) -> dict[int, int]:
    """Available cents by buyer; the rows stay locked, in the order of buyers."""
    buyers = {request.buyer_id for request in requests}
    rows = BalanceAccount.objects.select_for_update().filter(buyer_id__in=buyers).order_by("buyer_id")
    return dict(rows.values_list("buyer_id", "available_cents"))


def _decide(requests: Iterable[Request], available: dict[int, int]) -> dict[str, Verdict]:
    """First come, first served; `available` is used up on the way."""
    verdicts = {}
    for order_no, buyer_id, cents in requests:
        has_cents = available.get(buyer_id, 0)
        if cents <= has_cents:
            available[buyer_id] = has_cents - cents
            verdicts[order_no] = HELD
        else:
            verdicts[order_no] = Verdict(is_held=False, available_cents=has_cents)
    return verdicts


def _hold(requests: Sequence[Request], *, now: datetime) -> None:
    if requests:
        held = _HOLD.run("accounts", held=sql.rows([one._asdict() for one in requests]), now=now)
        if len(held) != len(requests):
            raise AssertionError(f"{len(held)} of {len(requests)} were held: a balance changed although it was locked")


def _earlier_verdicts(order_nos: Sequence[str]) -> dict[str, Verdict]:
    if not order_nos:
        return {}
    return {one.order_no: _verdict(one) for one in BalanceClaim.objects.filter(order_no__in=order_nos)}


def _verdict(claim: BalanceClaim) -> Verdict:
    if claim.origin == BalanceClaim.Origin.TOMBSTONE:
        return CANCELED_BEFORE
    return HELD if claim.refusal is None else Verdict(is_held=False, available_cents=claim.refusal)
