"""What becomes of an order once it is placed: confirmed, paid, closed, canceled. What follows: see `shipping`, `cases`.

Each function here is one message's effect on one order, as a decision (see `changes`): what it says depends on the
order as it is, never on what the message assumed. A message that comes late or twice changes nothing; one that
contradicts the order (paid, yet never confirmed) is a fault, and raises.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from messaging.events import Delayed
from orders.messages import (
    Address,
    CancelSilentOrder,
    ClosePayment,
    CloseUnpaidOrder,
    Line,
    OrderCanceled,
    OrderClosed,
    OrderConfirmed,
    OrderPaid,
)
from orders.models import BOUGHT, InvalidTransition, Order, Party, Reason, Status
from orders.services.changes import STAY, Decision, Step


def confirm(*, now: datetime, payment_window: timedelta, by: Party = Party.STOCK) -> Decision:
    """One of those who were asked agrees. With the last one the order is confirmed.

    The buyer may then pay until the window ends, and a timer will ring; what the balance pays alone is paid at once.
    """
    return partial(_confirm, now=now, payment_window=payment_window, by=by)


def _confirm(order: Order, *, now: datetime, payment_window: timedelta, by: Party) -> Step:
    if order.status != Status.PLACED:
        return STAY
    awaiting = order.awaiting & ~by
    if awaiting:
        return Step(write={"awaiting": awaiting}) if awaiting != order.awaiting else STAY
    if order.payable_cents == 0:
        paid = {"payment_no": "", "confirmed_at": now, "paid_at": now, "awaiting": 0}
        return Step(Status.PAID, say=(_paid(order, payment_no=""),), write=paid)
    expires_at = now + payment_window
    confirmed = OrderConfirmed(
        order_no=order.order_no,
        version=order.version + 1,
        buyer_id=order.buyer_id,
        total_cents=order.total_cents,
        balance_cents=order.balance_cents,
        currency=order.currency,
        expires_at=expires_at,
    )
    timer = CloseUnpaidOrder(order_no=order.order_no, version=order.version + 1)
    return Step(
        Status.PENDING_PAYMENT,
        say=(confirmed, Delayed(timer, deliver_at=expires_at)),
        write={"confirmed_at": now, "expires_at": expires_at, "awaiting": 0},
    )


def cancel_refused(*, now: datetime, reason: Reason, details: dict[str, Any]) -> Decision:
    """One of those who were asked refuses: the order ends, and whoever agreed before gives back what it held."""
    return partial(cancel_placed, now=now, reason=reason, details=details)


def cancel_when_silent(*, now: datetime, window: timedelta, attempt: int) -> Decision:
    """The timer of a pre-order rang: whoever has not answered by now is not waited for any longer."""
    return partial(_cancel_when_silent, now=now, window=window, attempt=attempt)


def _cancel_when_silent(order: Order, *, now: datetime, window: timedelta, attempt: int) -> Step:
    if order.status != Status.PLACED:
        return STAY
    if now < order.placed_at + window:
        again = CancelSilentOrder(order_no=order.order_no, version=order.version, attempt=attempt + 1)
        return Step(say=(Delayed(again, deliver_at=order.placed_at + window),))
    return cancel_silent(order, now=now)


def cancel_silent(order: Order, *, now: datetime) -> Step:
    silent = [party.name for party in Party if party & order.awaiting]
    return cancel_placed(order, now=now, reason=Reason.NOT_CONFIRMED, details={"silent": silent})


def cancel_placed(order: Order, *, now: datetime, reason: Reason, details: dict[str, Any] | None = None) -> Step:
    if order.status != Status.PLACED:
        return STAY
    canceled = OrderCanceled(
        order_no=order.order_no,
        version=order.version + 1,
        reason=reason,
        coupons=order.coupons,
        balance_cents=order.balance_cents,
    )
    return Step(Status.CANCELED, say=(canceled,), write={"reason": reason, "reason_details": details, "ended_at": now})


def close_when_due(*, now: datetime, attempt: int) -> Decision:
    """The timer rang. The order's own deadline decides, so a timer that is early, late or doubled does no harm."""
    return partial(_close_when_due, now=now, attempt=attempt)


def _close_when_due(order: Order, *, now: datetime, attempt: int) -> Step:
    if order.status != Status.PENDING_PAYMENT:
        return STAY
    assert order.expires_at is not None, f"{order} has no deadline"
    if now < order.expires_at:
        again = CloseUnpaidOrder(order_no=order.order_no, version=order.version, attempt=attempt + 1)
        return Step(say=(Delayed(again, deliver_at=order.expires_at),))
    return begin_closing(order, reason=Reason.PAYMENT_TIMEOUT)


def begin_closing(order: Order, *, reason: Reason) -> Step:
    """Ask payments to close the trade: only the gateway knows whether money came after all."""
    if order.status != Status.PENDING_PAYMENT:
        return STAY
    assert order.expires_at is not None, f"{order} has no deadline"
    close = ClosePayment(
        order_no=order.order_no,
        version=order.version + 1,
        buyer_id=order.buyer_id,
        total_cents=order.total_cents,
        balance_cents=order.balance_cents,
        currency=order.currency,
        expires_at=order.expires_at,
        reason=reason,
    )
    return Step(Status.CLOSING, say=(close,), write={"reason": reason})


def finish_closing(*, now: datetime) -> Decision:
    """No payment can succeed any more."""
    return partial(_finish_closing, now=now)


def _finish_closing(order: Order, *, now: datetime) -> Step:
    if order.status == Status.CLOSED:
        return STAY
    if order.status != Status.CLOSING:
        raise InvalidTransition(f"The payment of {order} was closed, which nobody asked for.", status=order.status)
    closed = OrderClosed(
        order_no=order.order_no,
        version=order.version + 1,
        reason=order.reason,
        coupons=order.coupons,
        balance_cents=order.balance_cents,
    )
    return Step(Status.CLOSED, say=(closed,), write={"ended_at": now})


def pay(*, payment_no: str, amount_cents: int, paid_at: datetime) -> Decision:
    """The money is captured: the order is paid, also when it was about to close."""
    return partial(_pay, payment_no=payment_no, amount_cents=amount_cents, paid_at=paid_at)


def _pay(order: Order, *, payment_no: str, amount_cents: int, paid_at: datetime) -> Step:
    if order.status == Status.CLOSED:
        return STAY  # It stays closed, for its stock is gone; payments gives the money back by itself.
    if order.payment_no == payment_no and order.status in BOUGHT | {Status.REFUNDED}:
        return STAY
    if order.status not in (Status.PENDING_PAYMENT, Status.CLOSING):
        raise InvalidTransition(f"{order} cannot be paid by {payment_no}.", status=order.status)
    if amount_cents != order.payable_cents:
        raise InvalidTransition(f"{order} is to bring {order.payable_cents}, but {payment_no} brought {amount_cents}.")
    # An order that was closing had a reason to end, which it no longer has.
    paid = {"payment_no": payment_no, "paid_at": paid_at, "reason": ""}
    return Step(Status.PAID, say=(_paid(order, payment_no=payment_no),), write=paid)


def _paid(order: Order, *, payment_no: str) -> OrderPaid:
    return OrderPaid(
        order_no=order.order_no,
        version=order.version + 1,
        buyer_id=order.buyer_id,
        total_cents=order.total_cents,
        freight_cents=order.freight_cents,
        balance_cents=order.balance_cents,
        coupons=order.coupons,
        payment_no=payment_no,
        lines=lines_of(order),
        address=None if order.address is None else msgspec.convert(order.address, Address),
    )


def lines_of(order: Order) -> tuple[Line, ...]:
    """The order's lines as events carry them, in the order of their SKUs."""
    return tuple(
        Line(line.sku, line.quantity, line.unit_price_cents, line.discount_cents, line.balance_cents)
        for line in sorted(order.lines.all(), key=lambda line: line.sku)
    )
