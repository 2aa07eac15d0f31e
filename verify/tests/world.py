"""A small, consistent shop, written straight into the tables: tests break one thing in it and look who notices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from accounts.models import BalanceAccount, BalanceEntry, BalanceHold, PointsAccount, PointsEntry
from coupons.models import Coupon, CouponMovement, CouponTemplate
from fulfillment.models import Shipment
from inventory.models import Reservation, Sku, StockMovement, StockRecord
from orders.models import Order, OrderEvent, OrderLine, OrderRefund, RefundCase
from payments.models import Capture, PayLogEntry, Payment, Refund

SKU = "RETRO-CLOCK"
#: After a coupon took off some; the balance pays a part, the payment company takes the rest.
PRICE_CENTS = 4990
DISCOUNT_CENTS = 500
BALANCE_CENTS = 1000
PAYABLE_CENTS = PRICE_CENTS - BALANCE_CENTS
BUYER_ID = 7
NOW = datetime(2026, 11, 11, 12, tzinfo=UTC)

_RESERVATION = {"PENDING_PAYMENT": "HELD", "PAID": "CONSUMED", "CLOSED": "RELEASED", "REFUNDED": "RETURNED"}
_MOVEMENTS = {
    "PENDING_PAYMENT": ("RESERVED",),
    "PAID": ("RESERVED", "SOLD"),
    "CLOSED": ("RESERVED", "RELEASED"),
    "REFUNDED": ("RESERVED", "SOLD", "RETURNED"),
}
_COUPON_MOVEMENTS = {
    "PENDING_PAYMENT": ("LOCKED",),
    "PAID": ("LOCKED", "REDEEMED"),
    "CLOSED": ("LOCKED", "RELEASED"),
    "REFUNDED": ("LOCKED", "REDEEMED", "RETURNED"),
    "CANCELED": (),
}
_HELD = ("{0}", "HELD", "AVAILABLE", "HELD")
_CAPTURED = ("{0}", "CAPTURED", "HELD", "SHOP")
_BALANCE_MOVEMENTS = {
    "PENDING_PAYMENT": (_HELD,),
    "PAID": (_HELD, _CAPTURED),
    "CLOSED": (_HELD, ("{0}", "RELEASED", "HELD", "AVAILABLE")),
    "REFUNDED": (_HELD, _CAPTURED, ("R-{0}", "RETURNED", "SHOP", "AVAILABLE")),
    "CANCELED": (),
}
_HISTORY = {
    "PENDING_PAYMENT": ("PLACED", "PENDING_PAYMENT"),
    "PAID": ("PLACED", "PENDING_PAYMENT", "PAID"),
    "CLOSED": ("PLACED", "PENDING_PAYMENT", "CLOSING", "CLOSED"),
    "REFUNDED": ("PLACED", "PENDING_PAYMENT", "PAID", "REFUNDED"),
    "CANCELED": ("PLACED", "CANCELED"),
}


def stock(initial: int = 100) -> None:
    sku = Sku.objects.create(sku=SKU, title="Retro clock", price_cents=PRICE_CENTS + DISCOUNT_CENTS)
    StockRecord.objects.create(sku=sku, initial=initial, available=initial)
    StockMovement.objects.create(order_no="-", sku=sku, kind="INITIAL", quantity=initial, moved_at=NOW)


def order(order_no: str, status: str, *, late_payment: bool = False) -> None:
    """An order for one clock that has reached `status`, with everything that belongs to it in every service."""
    history = _HISTORY[status]
    row = Order.objects.create(
        order_no=order_no,
        buyer_id=BUYER_ID,
        status=status,
        version=len(history),
        total_cents=PRICE_CENTS,
        coupon_no=f"C-{order_no}",
        coupon_cents=DISCOUNT_CENTS,
        balance_cents=BALANCE_CENTS,
        currency="CNY",
        placed_at=NOW,
        expires_at=datetime.now(UTC) + timedelta(hours=24),
        paid_at=NOW if status in ("PAID", "REFUNDED") else None,
    )
    OrderLine.objects.create(
        order=row,
        sku=SKU,
        title="Retro clock",
        quantity=1,
        unit_price_cents=PRICE_CENTS + DISCOUNT_CENTS,
        discount_cents=DISCOUNT_CENTS,
        balance_cents=BALANCE_CENTS,
    )
    for version, state in enumerate(history, start=1):
        OrderEvent.objects.create(order=row, version=version, tag="Event", status=state, happened_at=NOW)
    _move_stock(order_no, status)
    _use_coupon(order_no, status)
    _move_balance(order_no, status)
    if status != "CANCELED":
        _pay(row, status, late_payment=late_payment)
    if status in ("PAID", "REFUNDED"):
        _grant_points(order_no, status)
        shipment = Shipment.objects.create(
            order_no=order_no,
            buyer_id=BUYER_ID,
            status="PACKING" if status == "PAID" else "STOPPED",
            version=1,
            created_at=NOW,
        )
        shipment.lines.create(sku=SKU, quantity=1)
        PayLogEntry.objects.create(
            order_no=order_no,
            buyer_id=BUYER_ID,
            payment_no="",
            total_cents=PRICE_CENTS,
            balance_cents=BALANCE_CENTS,
            logged_at=NOW,
        )


def _move_stock(order_no: str, status: str) -> None:
    for kind in _MOVEMENTS.get(status, ()):
        StockMovement.objects.create(order_no=order_no, sku_id=SKU, kind=kind, quantity=1, moved_at=NOW)
    record = StockRecord.objects.get(sku=SKU)
    if status in _RESERVATION:
        Reservation.objects.create(
            order_no=order_no, sku_id=SKU, quantity=1, returned=int(status == "REFUNDED"), state=_RESERVATION[status]
        )
    if status == "PENDING_PAYMENT":
        record.available, record.reserved = record.available - 1, record.reserved + 1
    if status == "PAID":
        record.available, record.sold = record.available - 1, record.sold + 1
    record.save()


def _use_coupon(order_no: str, status: str) -> None:
    template, _ = CouponTemplate.objects.get_or_create(
        template_no="FIVE-OFF",
        defaults={
            "title": "5 off",
            "kind": "THRESHOLD",
            "threshold_cents": 1000,
            "off_cents": DISCOUNT_CENTS,
            "per_buyer_limit": 100,
            "stock": 100,
            "left": 100,
            "valid_for": timedelta(days=7),
        },
    )
    template.left -= 1
    template.save()
    now = {"PENDING_PAYMENT": "LOCKED", "PAID": "REDEEMED"}.get(status, "ISSUED")
    coupon = Coupon.objects.create(
        coupon_no=f"C-{order_no}",
        template=template,
        buyer_id=BUYER_ID,
        status=now,
        order_no="" if now == "ISSUED" else order_no,
        issued_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    for kind in _COUPON_MOVEMENTS[status]:
        CouponMovement.objects.create(coupon=coupon, order_no=order_no, kind=kind, moved_at=NOW)


def _move_balance(order_no: str, status: str) -> None:
    account, _ = BalanceAccount.objects.get_or_create(buyer_id=BUYER_ID)
    movements = [(f"GIFT-{order_no}", "CREDITED", "FUNDING", "AVAILABLE"), *_BALANCE_MOVEMENTS[status]]
    for reference, kind, giver, taker in movements:
        for side, sign in ((giver, -1), (taker, 1)):
            BalanceEntry.objects.create(
                reference=reference.format(order_no),
                kind=kind,
                account=side,
                buyer_id=BUYER_ID,
                cents=sign * BALANCE_CENTS,
                entered_at=NOW,
            )
            account.available_cents += sign * BALANCE_CENTS * (side == "AVAILABLE")
            account.held_cents += sign * BALANCE_CENTS * (side == "HELD")
    account.save()
    if status != "CANCELED":
        BalanceHold.objects.create(
            order_no=order_no,
            buyer_id=BUYER_ID,
            cents=BALANCE_CENTS,
            state={"PENDING_PAYMENT": "HELD", "CLOSED": "RELEASED"}.get(status, "CAPTURED"),
            returned_cents=BALANCE_CENTS if status == "REFUNDED" else 0,
        )


def _pay(row: Order, status: str, *, late_payment: bool) -> None:
    payment = Payment.objects.create(
        order_no=row.order_no,
        payment_no=f"P-{row.order_no}",
        buyer_id=BUYER_ID,
        amount_cents=PAYABLE_CENTS,
        currency="CNY",
        status={"PENDING_PAYMENT": "PENDING", "CLOSED": "CLOSED"}.get(status, "SUCCEEDED"),
        order_version=2,
        expires_at=NOW,
    )
    if status not in ("PAID", "REFUNDED") and not late_payment:
        return
    is_returned = status == "REFUNDED" or late_payment
    capture = Capture.objects.create(
        payment=payment,
        trade_no=f"T-{row.order_no}",
        amount_cents=PAYABLE_CENTS,
        is_for_order=not late_payment,
        refund_reserved_cents=PAYABLE_CENTS if is_returned else 0,
        paid_at=NOW,
    )
    if status == "REFUNDED":
        case = RefundCase.objects.create(
            refund_no=f"R-{row.order_no}",
            order=row,
            status="SUCCEEDED",
            amount_cents=PRICE_CENTS,
            balance_cents=BALANCE_CENTS,
            requested_at=NOW,
        )
        case.lines.create(sku=SKU, quantity=1, amount_cents=PRICE_CENTS)
    if is_returned:
        key = f"late:{capture.trade_no}" if late_payment else f"R-{row.order_no}"
        refund = Refund.objects.create(
            capture=capture,
            refund_no=f"R-{row.order_no}",
            refund_key=key,
            amount_cents=PAYABLE_CENTS,
            reason="TEST",
            status="SUCCEEDED",
        )
        OrderRefund.objects.create(
            refund_no=refund.refund_no, order=row, refund_key=key, amount_cents=PAYABLE_CENTS, recorded_at=NOW
        )


def _grant_points(order_no: str, status: str) -> None:
    worth = PRICE_CENTS // 100
    account, _ = PointsAccount.objects.get_or_create(buyer_id=BUYER_ID, defaults={"balance": 0})
    for kind, points in (("GRANTED", worth), ("REVOKED", -worth))[: 2 if status == "REFUNDED" else 1]:
        reference = f"R-{order_no}" if kind == "REVOKED" else ""
        PointsEntry.objects.create(
            order_no=order_no, reference=reference, buyer_id=BUYER_ID, kind=kind, points=points, entered_at=NOW
        )
        account.balance += points
    account.save()
