"""What payments gave back: recorded once per refund, and the end of an order whose whole price went back."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Q, Sum

from messaging.events import Outgoing
from orders.messages import OrderRefunded
from orders.models import Order, OrderRefund, Status
from orders.services import changes, lifecycle
from orders.services.changes import STAY, Step
from payments.messages import DUPLICATE, LATE


@transaction.atomic(using="orders")
def record_refund(
    *, order_no: str, refund_no: str, refund_key: str, amount_cents: int, now: datetime
) -> list[Outgoing]:
    """Remember the refund; the same refund number again changes nothing."""
    OrderRefund.objects.get_or_create(
        refund_no=refund_no,
        defaults={"order_id": order_no, "refund_key": refund_key, "amount_cents": amount_cents, "recorded_at": now},
    )
    [said] = changes.decide_and_move([(order_no, partial(_end_when_refunded, now=now))], now=now)
    return said


def _end_when_refunded(order: Order, *, now: datetime) -> Step:
    # A buyer who paid twice gets the second payment back, and keeps the order: only refunds of its price end it.
    own = Q(refund_key__startswith=LATE) | Q(refund_key__startswith=DUPLICATE)
    refunded_cents = order.refunds.exclude(own).aggregate(sum=Sum("amount_cents", default=0))["sum"]
    if order.status != Status.PAID or refunded_cents < order.payable_cents:
        return STAY
    refunded = OrderRefunded(
        order_no=order.order_no,
        version=order.version + 1,
        buyer_id=order.buyer_id,
        amount_cents=order.total_cents,
        balance_cents=order.balance_cents,
        coupons=order.coupons,
        lines=lifecycle.lines_of(order),
    )
    return Step(Status.REFUNDED, say=(refunded,), write={"ended_at": now})
