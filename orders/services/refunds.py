"""What payments gave back: recorded once per refund, and what that means for the case and the order it belongs to."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Sum

from messaging.events import Outgoing
from orders.messages import OrderRefunded, RefundLine
from orders.models import BOUGHT, Order, OrderRefund, RefundCase, RefundCaseLine, Status
from orders.services import changes
from orders.services.changes import STAY, Step

log = logging.getLogger(__name__)


@transaction.atomic(using="orders")
def record_refund(
    *, order_no: str, refund_no: str, refund_key: str, amount_cents: int, now: datetime
) -> list[Outgoing]:
    """Remember the refund; the same refund number again changes nothing.

    Without a case it is payments' own (a second payment, or one that came too late) and no part of the order's price.
    """
    OrderRefund.objects.get_or_create(
        refund_no=refund_no,
        defaults={"order_id": order_no, "refund_key": refund_key, "amount_cents": amount_cents, "recorded_at": now},
    )
    case = RefundCase.objects.filter(refund_no=refund_no).prefetch_related("lines").first()
    return [] if case is None else settle(case, now=now)


def settle(case: RefundCase, *, now: datetime) -> list[Outgoing]:
    """The money of the case is back with the buyer: everybody else gives back what is theirs. Needs a transaction."""
    refunding = RefundCase.objects.filter(refund_no=case.refund_no, status=RefundCase.Status.REFUNDING)
    if not refunding.update(status=RefundCase.Status.SUCCEEDED, settled_at=now):
        return []
    [said] = changes.decide_and_move([(case.order_id, partial(_give_back, case=case, now=now))], now=now)
    return said


def fail(*, refund_no: str, reason: str, now: datetime) -> None:
    """The gateway will never give it back: nothing more happens by itself, a person has to look."""
    refunding = RefundCase.objects.filter(refund_no=refund_no, status=RefundCase.Status.REFUNDING)
    if refunding.update(status=RefundCase.Status.FAILED, decision=reason[:200], settled_at=now):
        log.error("refund %s failed for good: %s", refund_no, reason)


def _give_back(order: Order, *, case: RefundCase, now: datetime) -> Step:
    if order.status not in BOUGHT:
        return STAY
    settled = RefundCase.objects.filter(order=order, status=RefundCase.Status.SUCCEEDED)
    before_cents = settled.exclude(refund_no=case.refund_no).aggregate(sum=Sum("amount_cents", default=0))["sum"]
    is_whole = _units(RefundCaseLine.objects.filter(case__in=settled)) == _units(order.lines)
    refunded = OrderRefunded(
        order_no=order.order_no,
        version=order.version + 1,
        buyer_id=order.buyer_id,
        refund_no=case.refund_no,
        total_cents=order.total_cents,
        refunded_before_cents=before_cents,
        amount_cents=case.amount_cents,
        balance_cents=case.balance_cents,
        coupons=order.coupons if is_whole else (),
        lines=told(case),
        is_whole=is_whole,
    )
    if is_whole:
        return Step(Status.REFUNDED, say=(refunded,), write={"ended_at": now})
    return Step(Status(order.status), say=(refunded,))


def told(case: RefundCase) -> tuple[RefundLine, ...]:
    """The lines of a case as events carry them, in the order of their SKUs."""
    lines = sorted(case.lines.all(), key=lambda line: line.sku)
    return tuple(RefundLine(line.sku, line.quantity, line.amount_cents) for line in lines)


def _units(lines: object) -> int:
    total: int = lines.aggregate(sum=Sum("quantity", default=0))["sum"]  # type: ignore[attr-defined]
    return total
