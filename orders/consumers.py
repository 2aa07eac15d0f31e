"""What orders does about the answers it gets: each message is one decision about one order (see services.lifecycle)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction

from accounts.messages import ACCOUNT_EVENTS, BalanceHeld, BalanceRefused
from common.clock import now
from coupons.messages import COUPON_EVENTS, CouponLocked, CouponRefused
from fulfillment.messages import (
    SHIPMENT_EVENTS,
    ReturnReceived,
    ShipmentDelivered,
    ShipmentDispatched,
    ShipmentNotStopped,
    ShipmentStopped,
)
from inventory.messages import STOCK_EVENTS, SkuChanged, StockReservationFailed, StockReserved
from messaging.events import Delayed, Outgoing
from messaging.registry import consumer
from orders.messages import (
    ORDER_EVENTS,
    ORDER_TIMERS,
    CancelSilentOrder,
    CloseUnpaidOrder,
    CompleteOrder,
    OrderPlaced,
)
from orders.models import Party, Reason
from orders.services import cases, catalog, changes, lifecycle, opening, refunds, shipping
from orders.services.changes import Decision
from payments.messages import (
    PAYMENT_EVENTS,
    PaymentClosed,
    PaymentOpened,
    PaymentSucceeded,
    RefundFailed,
    RefundSucceeded,
)

BATCH = 64


@consumer(topic=STOCK_EVENTS, tags=[StockReserved], batch=BATCH)
def stock_reserved(events: list[StockReserved]) -> list[list[Outgoing]]:
    return _confirm(events, by=Party.STOCK)


@consumer(topic=COUPON_EVENTS, tags=[CouponLocked], batch=BATCH)
def coupon_locked(events: list[CouponLocked]) -> list[list[Outgoing]]:
    return _confirm(events, by=Party.COUPON)


@consumer(topic=ACCOUNT_EVENTS, tags=[BalanceHeld], batch=BATCH)
def balance_held(events: list[BalanceHeld]) -> list[list[Outgoing]]:
    return _confirm(events, by=Party.BALANCE)


def _confirm(events: Sequence[StockReserved | CouponLocked | BalanceHeld], *, by: Party) -> list[list[Outgoing]]:
    moment = now()
    decision = lifecycle.confirm(now=moment, payment_window=settings.PAYMENT_WINDOW, by=by)
    return _move([(event.order_no, decision) for event in events], moment)


@consumer(topic=STOCK_EVENTS, tags=[StockReservationFailed], batch=BATCH)
def stock_refused(events: list[StockReservationFailed]) -> list[list[Outgoing]]:
    return _refuse(
        [(event.order_no, Reason.OUT_OF_STOCK, {"shortages": msgspec.to_builtins(event.shortages)}) for event in events]
    )


@consumer(topic=COUPON_EVENTS, tags=[CouponRefused], batch=BATCH)
def coupon_refused(events: list[CouponRefused]) -> list[list[Outgoing]]:
    return _refuse(
        [
            (event.order_no, Reason.COUPON_REFUSED, {"coupon_no": event.coupon_no, "why": event.reason})
            for event in events
        ]
    )


@consumer(topic=ACCOUNT_EVENTS, tags=[BalanceRefused], batch=BATCH)
def balance_refused(events: list[BalanceRefused]) -> list[list[Outgoing]]:
    return _refuse(
        [
            (
                event.order_no,
                Reason.BALANCE_REFUSED,
                {"wanted_cents": event.wanted_cents, "available_cents": event.available_cents},
            )
            for event in events
        ]
    )


def _refuse(refusals: Sequence[tuple[str, Reason, dict[str, Any]]]) -> list[list[Outgoing]]:
    moment = now()
    return _move(
        [
            (order_no, lifecycle.cancel_refused(now=moment, reason=reason, details=details))
            for order_no, reason, details in refusals
        ],
        moment,
    )


@consumer(topic=STOCK_EVENTS, tags=[SkuChanged])
def copy_sku(event: SkuChanged) -> None:
    catalog.copy_sku(
        sku=event.sku,
        version=event.version,
        title=event.title,
        price_cents=event.price_cents,
        on_sale=event.on_sale,
        category=event.category,
        weight_grams=event.weight_grams,
        per_buyer_limit=event.per_buyer_limit,
    )


@consumer(topic=ORDER_EVENTS, tags=[OrderPlaced], batch=BATCH)
def set_timer(events: list[OrderPlaced]) -> list[list[Outgoing]]:
    """The half message that an order begins with cannot be delayed: so whoever hears of it sets the timer."""
    ring_at = now() + settings.CONFIRM_WINDOW
    return [
        [Delayed(CancelSilentOrder(order_no=event.order_no, version=event.version), deliver_at=ring_at)]
        for event in events
    ]


@consumer(topic=ORDER_TIMERS, tags=[CancelSilentOrder], batch=BATCH)
def cancel_when_silent(events: list[CancelSilentOrder]) -> list[list[Outgoing]]:
    moment, window = now(), settings.CONFIRM_WINDOW
    return _move(
        [
            (event.order_no, lifecycle.cancel_when_silent(now=moment, window=window, attempt=event.attempt))
            for event in events
        ],
        moment,
    )


@consumer(topic=ORDER_TIMERS, tags=[CloseUnpaidOrder], batch=BATCH)
def close_when_due(events: list[CloseUnpaidOrder]) -> list[list[Outgoing]]:
    moment = now()
    return _move(
        [(event.order_no, lifecycle.close_when_due(now=moment, attempt=event.attempt)) for event in events], moment
    )


@consumer(topic=PAYMENT_EVENTS, tags=[PaymentOpened], batch=BATCH)
def show_payable(events: list[PaymentOpened]) -> list[list[Outgoing]]:
    opening.show_payable([event.order_no for event in events], now=now())
    return [[] for _ in events]


@consumer(topic=PAYMENT_EVENTS, tags=[PaymentSucceeded], batch=BATCH)
def pay(events: list[PaymentSucceeded]) -> list[list[Outgoing]]:
    return _move([(event.order_no, _payment(event)) for event in events], now(), with_lines=True)


def _payment(event: PaymentSucceeded) -> Decision:
    return lifecycle.pay(payment_no=event.payment_no, amount_cents=event.amount_cents, paid_at=event.paid_at)


@consumer(topic=PAYMENT_EVENTS, tags=[PaymentClosed], batch=BATCH)
def finish_closing(events: list[PaymentClosed]) -> list[list[Outgoing]]:
    moment = now()
    return _move([(event.order_no, lifecycle.finish_closing(now=moment)) for event in events], moment)


@consumer(topic=PAYMENT_EVENTS, tags=[RefundSucceeded])
def record_refund(event: RefundSucceeded) -> list[Outgoing]:
    return refunds.record_refund(
        order_no=event.order_no,
        refund_no=event.refund_no,
        refund_key=event.refund_key,
        amount_cents=event.amount_cents,
        now=now(),
    )


@consumer(topic=PAYMENT_EVENTS, tags=[RefundFailed])
def fail_refund(event: RefundFailed) -> None:
    refunds.fail(refund_no=event.refund_key, reason=event.reason, now=now())


@consumer(topic=SHIPMENT_EVENTS, tags=[ShipmentDispatched], batch=BATCH)
def ship(events: list[ShipmentDispatched]) -> list[list[Outgoing]]:
    moment = now()
    return _move(
        [(event.order_no, shipping.ship(tracking_no=event.tracking_no, now=moment)) for event in events], moment
    )


@consumer(topic=SHIPMENT_EVENTS, tags=[ShipmentDelivered], batch=BATCH)
def deliver(events: list[ShipmentDelivered]) -> list[list[Outgoing]]:
    moment = now()
    decision = shipping.deliver(now=moment, receipt_window=settings.RECEIPT_WINDOW)
    return _move([(event.order_no, decision) for event in events], moment)


@consumer(topic=ORDER_TIMERS, tags=[CompleteOrder], batch=BATCH)
def complete_when_due(events: list[CompleteOrder]) -> list[list[Outgoing]]:
    moment = now()
    return _move(
        [(event.order_no, shipping.complete_when_due(now=moment, attempt=event.attempt)) for event in events], moment
    )


@consumer(topic=SHIPMENT_EVENTS, tags=[ShipmentStopped])
def refund_stopped(event: ShipmentStopped) -> list[Outgoing]:
    return cases.refund_stopped(refund_no=event.refund_no, now=now())


@consumer(topic=SHIPMENT_EVENTS, tags=[ShipmentNotStopped])
def await_approval(event: ShipmentNotStopped) -> None:
    cases.await_approval(refund_no=event.refund_no)


@consumer(topic=SHIPMENT_EVENTS, tags=[ReturnReceived])
def refund_returned(event: ReturnReceived) -> list[Outgoing]:
    return cases.refund_returned(refund_no=event.refund_no, now=now())


def _move(
    decisions: Sequence[tuple[str, Decision]], moment: datetime, *, with_lines: bool = False
) -> list[list[Outgoing]]:
    with transaction.atomic(using="orders", savepoint=False):
        return changes.decide_and_move(decisions, now=moment, with_lines=with_lines)
