"""Refund cases: a buyer wants units back into money, all that is left or some of it, and what has to happen first.

    the order is        first                                                     then
    PAID, SHIPPED       fulfillment keeps the units or calls the parcel back      the money
                        ... or says that it is too late: they will arrive         as below
    DELIVERED or later  staff agrees, the units come back                         the money

A case claims its units and their money from the order's lines when it is opened, under the order's lock, so two cases
can never be about the same unit, and the amounts of a line's cases add up to what was paid for it, to the cent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.db import transaction
from django.db.models import F

from common import ids
from common.errors import InvalidInput, NotFound, ShopError
from messaging.events import Outgoing
from messaging.transactions import send_in_transaction
from orders.messages import ExpectReturn, RefundLine, RefundRequested, StopShipment
from orders.models import InvalidTransition, Order, OrderLine, RefundCase, Status
from orders.services import refunds
from orders.services.asking import ATTEMPT_COUNT_MAX
from orders.services.changes import ConcurrentChange
from orders.services.refunds import told

log = logging.getLogger(__name__)
_Case = RefundCase.Status


class NothingLeft(ShopError):
    """The units were asked back before, or there are not that many of them."""

    code = "NOTHING_LEFT_TO_REFUND"


class ReturnTooLate(ShopError):
    """The time in which something may be sent back is over."""

    code = "RETURN_TOO_LATE"


class NotDecidable(ShopError):
    """The case does not wait for staff, or somebody else was faster."""

    code = "REFUND_NOT_DECIDABLE"


class Claim(NamedTuple):
    """Units of one line that a case takes, and the line as it was when that was decided."""

    line: OrderLine
    quantity: int

    @property
    def amount_cents(self) -> int:
        return self._share(self.line.price_cents - self.line.claimed_cents)

    @property
    def balance_cents(self) -> int:
        return self._share(self.line.balance_cents - self.line.claimed_balance_cents)

    def _share(self, left_cents: int) -> int:
        """Of what is left of the line's money; of the last units it is all of it."""
        return left_cents * self.quantity // (self.line.quantity - self.line.claimed_quantity)

    def told(self) -> RefundLine:
        return RefundLine(self.line.sku, self.quantity, self.amount_cents)


def open_case(
    *,
    order_no: str,
    buyer_id: int,
    wanted: Mapping[str, int] | None,
    reason: str,
    now: datetime,
    also: Callable[[RefundCase], None] = lambda case: None,
) -> RefundCase:
    """Ask units of a bought order back: quantities by SKU, or None for all that is left.

    `also` runs in the same transaction.

    Raises: NotFound: no such order of this buyer; InvalidTransition: it is not paid, or is refunded; ReturnTooLate;
        NothingLeft; InvalidInput: an article that the order does not have; QueueUnavailable, ConcurrentChange.
    """
    for _ in range(ATTEMPT_COUNT_MAX):
        order = Order.objects.filter(order_no=order_no, buyer_id=buyer_id).prefetch_related("lines").first()
        if order is None:
            raise NotFound(f"You have no order {order_no}.")
        first_status = _first_status(order, now)
        claims = _claims(order.lines.all(), wanted)
        case = _draft(order, first_status, claims, reason, now)
        work = partial(_open, case, order, claims, also)
        try:
            if first_status == _Case.STOPPING:
                stop = StopShipment(
                    order_no=order_no,
                    version=order.version,
                    refund_no=case.refund_no,
                    lines=tuple(claim.told() for claim in claims),
                )
                send_in_transaction(stop, work, using="orders")
            else:
                with transaction.atomic(using="orders"):
                    work()
        except ConcurrentChange:
            continue
        return case
    raise ConcurrentChange(f"order {order_no} kept changing")


def _draft(order: Order, status: RefundCase.Status, claims: Sequence[Claim], reason: str, now: datetime) -> RefundCase:
    """The case with what it is worth; nothing is written yet."""
    lines = order.lines.all()
    taken = {claim.line.sku: claim.quantity for claim in claims}
    is_last = all(line.claimed_quantity + taken.get(line.sku, 0) == line.quantity for line in lines)
    # Freight was paid for a parcel: it comes back with the last units of an order that never became one.
    has_freight = is_last and order.status == Status.PAID
    freight_cents = order.freight_cents if has_freight else 0
    freight_balance_cents = order.balance_cents - sum(line.balance_cents for line in lines) if has_freight else 0
    return RefundCase(
        refund_no=ids.new_number(ids.REFUND, now),
        order=order,
        status=status,
        amount_cents=sum(claim.amount_cents for claim in claims) + freight_cents,
        balance_cents=sum(claim.balance_cents for claim in claims) + freight_balance_cents,
        freight_cents=freight_cents,
        freight_balance_cents=freight_balance_cents,
        reason=reason,
        requested_at=now,
    )


def _first_status(order: Order, now: datetime) -> RefundCase.Status:
    """Raises: InvalidTransition, ReturnTooLate."""
    if order.status in (Status.PAID, Status.SHIPPED):
        return _Case.STOPPING
    if order.status not in (Status.DELIVERED, Status.COMPLETED):
        raise InvalidTransition(f"Nothing of an order that is {order.status} can be refunded.", status=order.status)
    assert order.receipt_due_at is not None, f"{order} has no deadline"
    if now > order.receipt_due_at:
        raise ReturnTooLate("The time to send something back is over.", until=order.receipt_due_at.isoformat())
    return _Case.AWAITING_APPROVAL


def _claims(lines: Iterable[OrderLine], wanted: Mapping[str, int] | None) -> list[Claim]:
    """Raises: InvalidInput, NothingLeft."""
    by_sku = {line.sku: line for line in sorted(lines, key=lambda line: line.sku)}
    left = {sku: line.quantity - line.claimed_quantity for sku, line in by_sku.items()}
    if wanted is None:
        wanted = {sku: quantity for sku, quantity in left.items() if quantity}
    strangers = sorted(set(wanted) - set(by_sku))
    if strangers:
        raise InvalidInput(f"The order has no {strangers[0]}.", field="lines")
    short = [sku for sku, quantity in wanted.items() if quantity > left[sku]]
    if short or not wanted:
        raise NothingLeft("These units were asked back before, or there are not that many.", left=left)
    return [Claim(line, wanted[sku]) for sku, line in by_sku.items() if sku in wanted]


def _open(case: RefundCase, seen: Order, claims: Sequence[Claim], also: Callable[[RefundCase], None]) -> None:
    """Raises: ConcurrentChange: the order or its claims are not as they were when this was decided."""
    order = Order.objects.select_for_update().get(order_no=seen.order_no)
    if order.version != seen.version:
        raise ConcurrentChange(f"{order} changed meanwhile")
    case.save(force_insert=True)
    for claim in claims:
        # What was claimed when the share was computed is the guard: two parts never take the same unit or cent.
        claimed = OrderLine.objects.filter(
            pk=claim.line.pk,
            claimed_quantity=claim.line.claimed_quantity,
            claimed_cents=claim.line.claimed_cents,
        ).update(
            claimed_quantity=F("claimed_quantity") + claim.quantity,
            claimed_cents=F("claimed_cents") + claim.amount_cents,
            claimed_balance_cents=F("claimed_balance_cents") + claim.balance_cents,
        )
        if not claimed:
            raise ConcurrentChange(f"units of {order} were asked back meanwhile")
        case.lines.create(
            sku=claim.line.sku,
            quantity=claim.quantity,
            amount_cents=claim.amount_cents,
            balance_cents=claim.balance_cents,
        )
    also(case)


def refund_stopped(*, refund_no: str, now: datetime) -> list[Outgoing]:
    """The goods stayed, or are back: now the money. A repetition changes nothing. Needs a transaction."""
    return _ask_for_money(refund_no, _Case.STOPPING, now)


def refund_returned(*, refund_no: str, now: datetime) -> list[Outgoing]:
    """What the buyer sent back has arrived: now the money. A repetition changes nothing. Needs a transaction."""
    return _ask_for_money(refund_no, _Case.AWAITING_RETURN, now)


def await_approval(*, refund_no: str) -> None:
    """It was too late to stop the goods: the buyer has to send them back, if staff agrees, and the freight was used."""
    _advance(
        refund_no,
        _Case.STOPPING,
        _Case.AWAITING_APPROVAL,
        amount_cents=F("amount_cents") - F("freight_cents"),
        balance_cents=F("balance_cents") - F("freight_balance_cents"),
        freight_cents=0,
        freight_balance_cents=0,
    )


def approve(*, refund_no: str, by: str, now: datetime) -> None:
    """Staff agrees: the units are fetched from the buyer.

    Raises: NotDecidable: the case does not wait for that; QueueUnavailable.
    """
    case = _waiting(refund_no)
    event = ExpectReturn(order_no=case.order_id, version=case.order.version, refund_no=refund_no, lines=told(case))
    send_in_transaction(event, partial(_decide, refund_no, _Case.AWAITING_RETURN, by, "", now), using="orders")


@transaction.atomic(using="orders")
def reject(*, refund_no: str, by: str, why: str, now: datetime) -> None:
    """Staff does not agree: the units and their money may be asked for again.

    Raises: NotDecidable.
    """
    case = _waiting(refund_no)
    _decide(refund_no, _Case.REJECTED, by, why, now)
    for line in case.lines.all():
        OrderLine.objects.filter(order_id=case.order_id, sku=line.sku).update(
            claimed_quantity=F("claimed_quantity") - line.quantity,
            claimed_cents=F("claimed_cents") - line.amount_cents,
            claimed_balance_cents=F("claimed_balance_cents") - line.balance_cents,
        )


def _waiting(refund_no: str) -> RefundCase:
    cases = RefundCase.objects.select_related("order").prefetch_related("lines")
    case = cases.filter(refund_no=refund_no, status=_Case.AWAITING_APPROVAL).first()
    if case is None:
        raise NotDecidable(f"{refund_no} does not wait for a decision.")
    return case


def _decide(refund_no: str, to: RefundCase.Status, by: str, why: str, now: datetime) -> None:
    if not _advance(refund_no, _Case.AWAITING_APPROVAL, to, decided_by=by, decision=why, decided_at=now):
        raise NotDecidable(f"Somebody else has decided {refund_no}.")
    log.warning("refund %s is %s by %s%s", refund_no, to, by, f": {why}" if why else "")


def _advance(refund_no: str, from_status: RefundCase.Status, to: RefundCase.Status, **write: object) -> bool:
    """Compare and set: whether the case was there and has moved."""
    return bool(RefundCase.objects.filter(refund_no=refund_no, status=from_status).update(status=to, **write))


def _ask_for_money(refund_no: str, from_status: RefundCase.Status, now: datetime) -> list[Outgoing]:
    if not _advance(refund_no, from_status, _Case.REFUNDING):
        return []
    case = RefundCase.objects.select_related("order").prefetch_related("lines").get(refund_no=refund_no)
    if case.payable_cents == 0:  # The balance had paid all of it: nobody outside has to be asked.
        return refunds.settle(case, now=now)
    lines = tuple(
        RefundLine(line.sku, line.quantity, line.amount_cents - line.balance_cents)
        for line in sorted(case.lines.all(), key=lambda line: line.sku)
    )
    request = RefundRequested(
        order_no=case.order_id,
        version=case.order.version,
        refund_no=case.refund_no,
        amount_cents=case.payable_cents,
        lines=lines,
        reason=case.reason,
    )
    return [request]
