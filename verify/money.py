"""Money: what buyers paid, what they got back, and whether the payment company has the same in its books (I4, C8)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter

from common.clock import now
from payments.gateway import channels
from verify import books
from verify.books import Row
from verify.finding import Check, Comparison

# What an order keeps of what the payment company took (its price less what the balance paid): all but the shares of the
# units that were given back, as its cases say. Money that came too late or twice is no part of that, so it must have
# gone back whole.
_ORDERS = """
    SELECT order_no, status, CASE WHEN paid_at IS NOT NULL THEN total_cents - balance_cents - (
        SELECT coalesce(sum(amount_cents - balance_cents), 0) FROM orders_refundcase refund
        WHERE refund.order_id = order_no AND refund.status = 'SUCCEEDED'
    ) ELSE 0 END, total_cents = balance_cents
    FROM orders_order ORDER BY order_no COLLATE "C" """
_PAYMENTS = """
    SELECT payment.order_no, payment.status, coalesce(sum(capture.amount_cents), 0), coalesce(sum((
        SELECT sum(amount_cents) FROM payments_refund refund
        WHERE refund.capture_id = capture.id AND refund.status = 'SUCCEEDED')), 0)
    FROM payments_payment payment LEFT JOIN payments_capture capture ON capture.payment_id = payment.id
    GROUP BY payment.order_no, payment.status ORDER BY payment.order_no COLLATE "C" """
_CAPTURES = """
    SELECT capture.trade_no, payment.order_no, capture.amount_cents, coalesce(sum(refund.amount_cents), 0)::bigint,
        count(refund.id)
    FROM payments_capture capture JOIN payments_payment payment ON payment.id = capture.payment_id
    LEFT JOIN payments_refund refund ON refund.capture_id = capture.id AND refund.status = 'SUCCEEDED'
    GROUP BY capture.trade_no, payment.order_no, capture.amount_cents ORDER BY capture.trade_no COLLATE "C" """
_PAYMENT_OF = {"PENDING_PAYMENT": "PENDING", "CLOSED": "CLOSED"} | dict.fromkeys(
    ("PAID", "SHIPPED", "DELIVERED", "COMPLETED", "REFUNDED"), "SUCCEEDED"
)


def _captured_is_kept_or_refunded() -> Comparison:
    found = Comparison({"cents captured": 0, "refunded": 0, "price of what is kept": 0})
    for order, payment in books.side_by_side(books.stream("orders", _ORDERS), books.stream("payments", _PAYMENTS)):
        if order is None:
            assert payment is not None
            found.require(False, f"{payment[0]}: a payment for an order that does not exist")
            continue
        order_no, status, kept, is_free = order
        payment_status, captured, refunded = payment[1:] if payment else (None, 0, 0)
        found.count("cents captured", int(captured))
        found.count("refunded", int(refunded))
        found.count("price of what is kept", int(kept))
        found.require(
            0 <= refunded <= captured and captured - refunded == kept,
            f"{order_no} ({status}): captured {captured} - refunded {refunded}, but what is kept costs {kept}",
        )
        found.require(
            payment_status == (None if is_free else _PAYMENT_OF.get(status, payment_status)),
            f"{order_no} is {status}, its payment is {payment_status}",
        )
    return found


def _gateway_agrees() -> Comparison:
    found = Comparison(dict.fromkeys(("trades paid", "at the gateway", "cents refunded", "refunded at the gateway"), 0))
    for ours, theirs in books.side_by_side(books.stream("payments", _CAPTURES), _paid_trades()):
        if ours is not None:
            found.count("trades paid")
            found.count("cents refunded", ours[3])
        if theirs is not None:
            found.count("at the gateway")
            found.count("refunded at the gateway", theirs[3])
        found.require(ours == theirs, _difference(ours, theirs))
    return found


def _paid_trades() -> Iterator[Row]:
    moment = now()
    books_there = [gateway.book(now=moment) for gateway in channels.GATEWAYS.values()]
    for entry in heapq.merge(*books_there, key=attrgetter("trade_no")):
        if entry.paid:
            yield (entry.trade_no, entry.out_trade_no, entry.total_cents, entry.refunded_cents, entry.refund_count)


def _difference(ours: Row | None, theirs: Row | None) -> str:
    def told(row: Row | None) -> str:
        if row is None:
            return "nothing"
        return f"{row[2]} captured, {row[3]} given back in {row[4]} refunds, for {row[1]}"

    return f"trade {(ours or theirs or [''])[0]}: we have {told(ours)}; the gateway has {told(theirs)}"


CHECKS = (
    Check(
        "I4", "per order: 0 <= refunded <= captured, captured - refunded = price kept", _captured_is_kept_or_refunded
    ),
    Check("C8", "every trade at the gateway is in our books once, with its refunds", _gateway_agrees),
)
