"""Orders: every paid order has each of its effects once, and every order's history is whole (I9, I10, C10)."""

from __future__ import annotations

from datetime import timedelta

from common.clock import now
from verify import books, parcels
from verify.finding import Check, Comparison

_CENTS_PER_POINT = 100
_ORDERS = """
    SELECT order_no, status, buyer_id, total_cents, coalesce(refunds.count, 0), coalesce(refunds.cents, 0)
    FROM orders_order LEFT JOIN (
        SELECT order_id, count(*) AS count, sum(amount_cents)::bigint AS cents FROM orders_refundcase
        WHERE status = 'SUCCEEDED' GROUP BY order_id
    ) refunds ON refunds.order_id = order_no
    WHERE status IN ('PAID', 'SHIPPED', 'DELIVERED', 'COMPLETED', 'REFUNDED') ORDER BY order_no COLLATE "C" """
_POINTS = """
    SELECT order_no, count(*) FILTER (WHERE kind = 'GRANTED'), count(*) FILTER (WHERE kind = 'REVOKED'),
        min(buyer_id), max(buyer_id), max(points), sum(points)
    FROM accounts_pointsentry WHERE kind <> 'SPENT' GROUP BY order_no ORDER BY order_no COLLATE "C" """
_BALANCES = """
    SELECT count(*) FROM (SELECT buyer_id, sum(points) AS points FROM accounts_pointsentry GROUP BY buyer_id) entries
    FULL JOIN accounts_pointsaccount account USING (buyer_id)
    WHERE coalesce(account.balance - account.owed, 0) <> coalesce(entries.points, 0)"""
_HISTORIES = """
    SELECT o.order_no, o.version, count(event.id), count(DISTINCT event.version),
        coalesce(min(event.version), 0), coalesce(max(event.version), 0),
        (array_agg(event.status ORDER BY event.version DESC))[1] = o.status
    FROM orders_order o LEFT JOIN orders_orderevent event ON event.order_id = o.order_no
    GROUP BY o.order_no, o.version, o.status ORDER BY o.order_no COLLATE "C" """
_UNFINISHED = "SELECT status, count(*) FROM orders_order WHERE status IN ('PLACED', 'CLOSING') GROUP BY status"
_OVERDUE = "SELECT count(*) FROM orders_order WHERE status = 'PENDING_PAYMENT' AND expires_at < %s"
_PENDING_REFUNDS = "SELECT count(*) FROM payments_refund WHERE status = 'PENDING'"
_CASES = "SELECT count(*) FROM orders_refundcase WHERE status = %s"
_UNCONFIRMED = "SELECT count(*) FROM orders_order WHERE status = 'DELIVERED' AND receipt_due_at < %s"
#: How late a timer may ring before its order counts as forgotten.
_GRACE = timedelta(minutes=1)


def _effects_happen_once() -> Comparison:
    found = Comparison({"paid orders": 0, "points granted": 0})
    for order, points in books.side_by_side(books.stream("orders", _ORDERS), books.stream("accounts", _POINTS)):
        if order is None:
            assert points is not None
            found.require(False, f"{points[0]}: points for an order that was not paid")
            continue
        order_no, status, buyer_id, total_cents, refund_count, refunded_cents = order
        worth = total_cents // _CENTS_PER_POINT
        kept = (total_cents - refunded_cents) // _CENTS_PER_POINT
        found.count("paid orders")
        found.count("points granted", points[5] if points else 0)
        expected = (1, refund_count, buyer_id, buyer_id, worth, kept)
        found.require(
            points is not None and points[1:] == expected,
            f"{order_no} ({status}) is worth {worth} points of buyer {buyer_id}, {kept} are kept, "
            + (f"granted {points[1]} and revoked {points[2]} times, {points[6]} in sum" if points else "granted never"),
        )
    parcels.compare(found)
    wrong_balances = books.value("accounts", _BALANCES)
    found.require(wrong_balances == 0, f"{wrong_balances} balances differ from the sum of their entries")
    return found


def _histories_are_whole() -> Comparison:
    found = Comparison({"orders": 0, "events": 0, "versions": 0})
    for order_no, version, events, distinct, lowest, highest, ends_so in books.stream("orders", _HISTORIES):
        found.count("orders")
        found.count("events", events)
        found.count("versions", version)
        found.require(
            events == distinct == version and (lowest, highest) == (1, version) and ends_so,
            f"{order_no} is at version {version}, but has {events} events from {lowest} to {highest}",
        )
    return found


def unfinished() -> dict[str, int]:
    """How much is on its way to an end, by kind; what is not in it has ended."""
    found = {status.lower(): count for status, count in books.rows("orders", _UNFINISHED)}
    found["unpaid and overdue"] = books.value("orders", _OVERDUE, now() - _GRACE)
    found["refunds pending"] = books.value("payments", _PENDING_REFUNDS)
    found["delivered and overdue"] = books.value("orders", _UNCONFIRMED, now() - _GRACE)
    found["refund cases waiting for money"] = books.value("orders", _CASES, "REFUNDING")
    return {kind: count for kind, count in found.items() if count}


def _everything_ended() -> Comparison:
    found = Comparison(dict.fromkeys(("placed", "closing", "unpaid and overdue", "refunds pending"), 0) | unfinished())
    found.count("refund cases failed", books.value("orders", _CASES, "FAILED"))
    for name, count in found.numbers.items():
        found.require(count == 0, f"{count} {name}")
    return found


CHECKS = (
    Check("I9", "each paid order has exactly one of each effect", _effects_happen_once),
    Check("I10", "each order's versions are 1..n without gap or repetition", _histories_are_whole),
    Check("C10", "nothing is under way any more, or overdue", _everything_ended),
)
