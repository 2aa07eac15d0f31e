"""Prices: every cent of an order has a line, and no coupon pays for two orders (I6, I13)."""

from __future__ import annotations

from verify import books
from verify.finding import Check, Comparison

_PARTS = """
    SELECT o.order_no, o.total_cents, o.coupon_cents + o.red_packet_cents, o.freight_cents, o.balance_cents,
        coalesce(sum(line.quantity * line.unit_price_cents), 0)::bigint, coalesce(sum(line.discount_cents), 0)::bigint,
        coalesce(sum(line.balance_cents), 0)::bigint
    FROM orders_order o JOIN orders_orderline line ON line.order_id = o.order_no
    GROUP BY o.order_no ORDER BY o.order_no COLLATE "C" """
# A pre-order may be waiting for its coupon, or be refused it: which of the two is decided soon, and by C10.
_USED_BY_ORDERS = """
    SELECT coupon_no, count(*), min(order_no), min(status) FROM (
        SELECT coupon_no, order_no, status FROM orders_order WHERE coupon_no <> ''
        UNION ALL SELECT red_packet_no, order_no, status FROM orders_order WHERE red_packet_no <> ''
    ) used WHERE status NOT IN ('PLACED', 'CANCELED', 'CLOSED', 'REFUNDED')
    GROUP BY coupon_no ORDER BY coupon_no COLLATE "C" """
_COUPONS = """
    SELECT coupon.coupon_no, coupon.status, coupon.order_no, (
        SELECT movement.kind FROM coupons_couponmovement movement WHERE movement.coupon_id = coupon.coupon_no
        ORDER BY movement.id DESC LIMIT 1)
    FROM coupons_coupon coupon
    WHERE coupon.status IN ('LOCKED', 'REDEEMED') ORDER BY coupon.coupon_no COLLATE "C" """
_TEMPLATES = """
    SELECT template.template_no, template.stock - template."left", count(coupon.coupon_no)
    FROM coupons_coupontemplate template LEFT JOIN coupons_coupon coupon ON coupon.template_id = template.template_no
    GROUP BY template.template_no ORDER BY template.template_no COLLATE "C" """
_OPEN = ("PENDING_PAYMENT", "CLOSING")


def _coupons_follow_orders() -> Comparison:
    found = Comparison({"coupons issued": 0, "used by orders": 0, "locked or redeemed": 0})
    for template_no, taken, issued in books.stream("coupons", _TEMPLATES):
        found.count("coupons issued", issued)
        found.require(taken == issued, f"{template_no}: {taken} were taken from the stock, {issued} issued")
    for used, coupon in books.side_by_side(books.stream("orders", _USED_BY_ORDERS), books.stream("coupons", _COUPONS)):
        found.count("used by orders", int(used is not None))
        found.count("locked or redeemed", int(coupon is not None))
        if used is None:
            assert coupon is not None
            found.require(False, f"{coupon[0]} is {coupon[1]} for {coupon[2]}, which does not have it")
            continue
        coupon_no, order_count, order_no, status = used
        expected = "LOCKED" if status in _OPEN else "REDEEMED"
        found.require(order_count == 1, f"{coupon_no} is used by {order_count} orders")
        found.require(
            coupon is not None and coupon[1:] == (expected, order_no, expected),
            f"{order_no} is {status}, so {coupon_no} must be {expected}, but it "
            + (f"is {coupon[1]} for {coupon[2]}, and was {coupon[3]} last" if coupon else "is free"),
        )
    return found


def _parts_add_up() -> Comparison:
    found = Comparison(dict.fromkeys(("orders", "cents of goods", "discount", "freight", "total"), 0))
    for order_no, total, discount, freight, balance, goods, line_discount, line_balance in books.stream(
        "orders", _PARTS
    ):
        for name, number in zip(found.numbers, (1, goods, discount, freight, total), strict=True):
            found.count(name, number)
        found.require(
            goods - discount + freight == total,
            f"{order_no}: {goods} of goods - {discount} + {freight} of freight is not the total of {total}",
        )
        found.require(
            line_discount == discount, f"{order_no}: {discount} are off, but {line_discount} by the shares of its lines"
        )
        found.require(
            line_balance <= balance <= min(total, line_balance + freight),
            f"{order_no}: the balance pays {balance}, but {line_balance} by the shares of its lines",
        )
    return found


CHECKS = (
    Check("I6", "each coupon is used by at most one order that lives, and is as that order is", _coupons_follow_orders),
    Check("I13", "per order: goods - discount + freight = total, and by the shares of its lines, too", _parts_add_up),
)
