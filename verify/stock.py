"""Stock: no unit appears, disappears or is sold twice (I1, I3, I5)."""

from __future__ import annotations

from verify import books
from verify.finding import Check, Comparison

_RECORDS = """
    SELECT sku, initial + added, available, reserved, sold FROM inventory_stockrecord ORDER BY sku COLLATE "C" """
_LEDGER = """
    SELECT sku,
        coalesce(sum(quantity) FILTER (WHERE kind IN ('INITIAL', 'ADDED')), 0),
        coalesce(sum(quantity) FILTER (WHERE kind = 'RESERVED'), 0)
            - coalesce(sum(quantity) FILTER (WHERE kind IN ('RELEASED', 'SOLD')), 0),
        coalesce(sum(quantity) FILTER (WHERE kind = 'SOLD'), 0)
            - coalesce(sum(quantity) FILTER (WHERE kind = 'RETURNED'), 0)
    FROM inventory_stockmovement GROUP BY sku ORDER BY sku COLLATE "C" """
_SOLD_IN_INVENTORY = """SELECT sku, sold FROM inventory_stockrecord WHERE sold <> 0 ORDER BY sku COLLATE "C" """
_SOLD_IN_ORDERS = """
    SELECT line.sku, sum(line.quantity) - coalesce(sum(refunded.quantity), 0)
    FROM orders_orderline line JOIN orders_order o ON o.order_no = line.order_id
    LEFT JOIN (
        SELECT refund.order_id, line.sku, sum(line.quantity) AS quantity
        FROM orders_refundcase refund JOIN orders_refundcaseline line ON line.case_id = refund.refund_no
        WHERE refund.status = 'SUCCEEDED' GROUP BY refund.order_id, line.sku
    ) refunded ON refunded.order_id = line.order_id AND refunded.sku = line.sku
    WHERE o.status IN ('PAID', 'SHIPPED', 'DELIVERED', 'COMPLETED', 'REFUNDED')
    GROUP BY line.sku HAVING sum(line.quantity) > coalesce(sum(refunded.quantity), 0) ORDER BY line.sku COLLATE "C" """
_LINES = """
    SELECT o.order_no, o.status, count(*), sum(line.quantity), (
        SELECT coalesce(sum(line.quantity), 0) FROM orders_refundcase refund
        JOIN orders_refundcaseline line ON line.case_id = refund.refund_no
        WHERE refund.order_id = o.order_no AND refund.status = 'SUCCEEDED'
    )
    FROM orders_order o JOIN orders_orderline line ON line.order_id = o.order_no
    GROUP BY o.order_no, o.status ORDER BY o.order_no COLLATE "C" """
_RESERVATIONS = """
    SELECT order_no, count(*), sum(quantity), sum(returned), array_agg(DISTINCT state) FROM inventory_reservation
    GROUP BY order_no ORDER BY order_no COLLATE "C" """
_SOLD = frozenset({"CONSUMED", "RETURNED"})
#: In which states an order's reservations may be.
_STATES_OF = {
    "PENDING_PAYMENT": {"HELD"},
    "CLOSING": {"HELD"},
    "PAID": _SOLD,
    "SHIPPED": _SOLD,
    "DELIVERED": _SOLD,
    "COMPLETED": _SOLD,
    "CLOSED": {"RELEASED"},
    "REFUNDED": {"RETURNED"},
}


def _units_add_up() -> Comparison:
    found = Comparison(dict.fromkeys(("articles", "initial + added", "available", "reserved", "sold"), 0))
    for record, ledger in books.side_by_side(books.stream("inventory", _RECORDS), books.stream("inventory", _LEDGER)):
        if record is None or ledger is None:
            found.require(False, f"{(record or ledger or [''])[0]}: a record without a ledger, or the other way round")
            continue
        sku, total, available, reserved, sold = record
        for name, number in zip(found.numbers, (1, total, available, reserved, sold), strict=True):
            found.count(name, number)
        found.require(
            min(available, reserved, sold) >= 0 and total == available + reserved + sold,
            f"{sku}: {total} units, but {available} available + {reserved} reserved + {sold} sold",
        )
        found.require(
            ledger[1:] == (total, reserved, sold),
            f"{sku}: the ledger says {ledger[1]} units, {ledger[2]} reserved, {ledger[3]} sold; "
            f"the record says {total}, {reserved}, {sold}",
        )
    return found


def _sold_is_paid() -> Comparison:
    found = Comparison({"sold": 0, "in paid orders": 0})
    for sold, paid in books.side_by_side(
        books.stream("inventory", _SOLD_IN_INVENTORY), books.stream("orders", _SOLD_IN_ORDERS)
    ):
        sold_units, paid_units = (sold[1] if sold else 0), (paid[1] if paid else 0)
        found.count("sold", sold_units)
        found.count("in paid orders", int(paid_units))
        sku = (sold or paid or [""])[0]
        found.require(sold_units == paid_units, f"{sku}: {sold_units} sold, {paid_units} in paid orders")
    return found


def _reservations_follow_orders() -> Comparison:
    found = Comparison({"orders": 0, "with reservations": 0})
    for order, reserved in books.side_by_side(books.stream("orders", _LINES), books.stream("inventory", _RESERVATIONS)):
        if order is None:
            assert reserved is not None
            found.require(False, f"{reserved[0]}: stock is claimed for an order that does not exist")
            continue
        order_no, status, line_count, unit_count, refunded_count = order
        found.count("orders")
        found.count("with reservations", int(reserved is not None))
        states = _STATES_OF.get(status)
        if states is None:  # PLACED is on its way, CANCELED may have held stock for a moment
            is_free = reserved is None or status == "PLACED" or reserved[4] == ["RELEASED"]
            found.require(is_free, f"{order_no} is {status}, yet its stock is {reserved and reserved[4]}")
            continue
        found.require(
            reserved is not None
            and reserved[1:4] == (line_count, unit_count, refunded_count)
            and states >= set(reserved[4]),
            f"{order_no} is {status} with {unit_count} units, {refunded_count} given back, but of its stock "
            + (
                f"{reserved[2]} units are {reserved[4]}, {reserved[3]} of them back"
                if reserved
                else "nothing was ever held"
            ),
        )
    return found


CHECKS = (
    Check("I1", "initial + added = available + reserved + sold, per article, and as the ledger says", _units_add_up),
    Check("I3", "sold units = units of paid orders that were not given back, per article", _sold_is_paid),
    Check("I5", "stock is held, sold and given back as its order ends", _reservations_follow_orders),
)
