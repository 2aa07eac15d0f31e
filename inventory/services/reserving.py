"""Holding stock for orders: for every line of an order or for none, first come, first served.

A batch is four short statements: claim the orders, lock the stock rows they need in SKU order, decide here, and hold
everything in one go (`reserve.sql`). The decision is made order by order on what the orders before it left over, so an
order that is refused takes nothing away from the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
from django.db import transaction

from common import sql
from common.claims import claim
from inventory.messages import Shortage
from inventory.models import Reservation, StockClaim, StockRecord

_HOLD = sql.Statement(Path(__file__).with_name("reserve.sql"))


@dataclass(frozen=True)
class Request:
    """What one order needs: units by SKU."""

    order_no: str
    needs: Mapping[str, int]


@dataclass(frozen=True)
class Verdict:
    """What became of a request: held, short of something, or canceled before it came."""

    is_held: bool
    shortages: tuple[Shortage, ...] = ()


HELD = Verdict(is_held=True)
CANCELED_BEFORE = Verdict(is_held=False)


def reserve_stock(requests: Sequence[Request], *, now: datetime) -> list[Verdict]:
    """Decide every request, in their order; a request that was decided before gets the same verdict again."""
    with transaction.atomic(using="inventory", savepoint=False):
        fresh = claim(StockClaim, [one.order_no for one in requests], origin=StockClaim.Origin.RESERVATION, now=now)
        verdicts = _earlier_verdicts([one.order_no for one in requests if one.order_no not in fresh])
        undecided = list({one.order_no: one for one in requests if one.order_no in fresh}.values())
        decided = _decide(undecided, _lock_available(undecided))
        _hold([one for one in undecided if decided[one.order_no].is_held], now=now)
        _remember_refusals({order_no: verdict for order_no, verdict in decided.items() if not verdict.is_held})
    verdicts |= decided
    return [verdicts[one.order_no] for one in requests]


def _lock_available(requests: Iterable[Request]) -> dict[str, int]:
    """Available units by SKU; the rows stay locked, in SKU order, so that baskets queue up instead of deadlocking."""
    skus = {sku for request in requests for sku in request.needs}
    rows = StockRecord.objects.select_for_update().filter(sku__in=skus).order_by("sku")
    return dict(rows.values_list("sku", "available"))


def _decide(requests: Iterable[Request], available: dict[str, int]) -> dict[str, Verdict]:
    """First come, first served; `available` is used up on the way. Of an unknown article there are none."""
    verdicts = {}
    for request in requests:
        shortages = tuple(
            Shortage(sku, quantity, available.get(sku, 0))
            for sku, quantity in request.needs.items()
            if quantity > available.get(sku, 0)
        )
        if not shortages:
            for sku, quantity in request.needs.items():
                available[sku] -= quantity
        verdicts[request.order_no] = Verdict(not shortages, shortages)
    return verdicts


def _hold(requests: Sequence[Request], *, now: datetime) -> None:
    lines = [
        {"order_no": request.order_no, "sku": sku, "quantity": quantity}
        for request in requests
        for sku, quantity in request.needs.items()
    ]
    if lines:
        held = _HOLD.run("inventory", held=sql.rows(lines), now=now)
        if len(held) != len(lines):
            raise AssertionError(f"{len(held)} of {len(lines)} lines were held: stock changed although it was locked")


def _remember_refusals(refused: Mapping[str, Verdict]) -> None:
    """So that a repeated request hears the same reason. Few orders are refused, and they cost a statement each."""
    for order_no, verdict in refused.items():
        shortages = msgspec.to_builtins(verdict.shortages)
        StockClaim.objects.filter(order_no=order_no).update(shortages=shortages)


def _earlier_verdicts(order_nos: Sequence[str]) -> dict[str, Verdict]:
    if not order_nos:
        return {}
    held = set(Reservation.objects.filter(order_no__in=order_nos).values_list("order_no", flat=True))
    return {claim.order_no: _verdict(claim, held) for claim in StockClaim.objects.filter(order_no__in=order_nos)}


def _verdict(claim: StockClaim, held: set[str]) -> Verdict:
    if claim.order_no in held:
        return HELD
    if claim.origin == StockClaim.Origin.TOMBSTONE:
        return CANCELED_BEFORE
    return Verdict(is_held=False, shortages=msgspec.convert(claim.shortages, tuple[Shortage, ...]))


def needs_of(lines: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Units by SKU, added up when a SKU comes twice."""
    needs: Counter[str] = Counter()
    for sku, quantity in lines:
        needs[sku] += quantity
    return dict(needs)
