"""After a payment: one shipment of the order's units, where the order says, and one line in the pay log (I9)."""

from __future__ import annotations

from typing import Final

from verify import books
from verify.finding import Comparison

_ORDERS = """
    SELECT o.order_no, o.status, sum(line.quantity)::bigint
    FROM orders_order o JOIN orders_orderline line ON line.order_id = o.order_no
    WHERE o.status IN ('PAID', 'SHIPPED', 'DELIVERED', 'COMPLETED', 'REFUNDED')
    GROUP BY o.order_no ORDER BY o.order_no COLLATE "C" """
_SHIPMENTS = """
    SELECT shipment.order_no, shipment.status, sum(line.quantity)::bigint
    FROM fulfillment_shipment shipment JOIN fulfillment_shipmentline line ON line.shipment_id = shipment.order_no
    GROUP BY shipment.order_no ORDER BY shipment.order_no COLLATE "C" """
_PAID = """
    SELECT order_no, buyer_id, payment_no, total_cents, balance_cents FROM orders_order
    WHERE status IN ('PAID', 'SHIPPED', 'DELIVERED', 'COMPLETED', 'REFUNDED') ORDER BY order_no COLLATE "C" """
_PAY_LOG = """
    SELECT order_no, buyer_id, payment_no, total_cents, balance_cents FROM payments_paylogentry
    ORDER BY order_no COLLATE "C" """
#: Where the parcel of an order may be. One that was stopped waits for the money to go back.
_STATUSES_OF: Final = {
    "PAID": {"PACKING", "PACKED", "DISPATCHING", "STOPPED"},
    "SHIPPED": {"DISPATCHED", "RETURNING", "STOPPED"},
    "DELIVERED": {"DELIVERED"},
    "COMPLETED": {"DELIVERED"},
    "REFUNDED": {"STOPPED", "DELIVERED"},
}


def compare(found: Comparison) -> None:
    """Count shipments and note what does not fit."""
    found.count("shipments", 0)
    found.count("lines in the pay log", 0)
    for order, shipment in books.side_by_side(books.stream("orders", _ORDERS), books.stream("fulfillment", _SHIPMENTS)):
        if order is None:
            assert shipment is not None
            found.require(False, f"{shipment[0]}: a shipment for an order that was not paid")
            continue
        order_no, status, units = order
        found.count("shipments", int(shipment is not None))
        found.require(
            shipment is not None and shipment[1] in _STATUSES_OF[status] and shipment[2] == units,
            f"{order_no} is {status} with {units} units, but "
            + (f"its shipment of {shipment[2]} is {shipment[1]}" if shipment else "it has no shipment"),
        )
    for paid, logged in books.side_by_side(books.stream("orders", _PAID), books.stream("payments", _PAY_LOG)):
        found.count("lines in the pay log", int(logged is not None))
        found.require(paid == logged, f"{(paid or logged or [''])[0]}: paid {paid}, in the pay log {logged}")
