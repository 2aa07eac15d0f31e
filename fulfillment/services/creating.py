"""A paid order becomes a shipment: one statement for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from common import sql
from orders.messages import OrderPaid

_CREATE = sql.Statement(Path(__file__).with_name("create.sql"))


def create_shipments(paid: Sequence[OrderPaid], *, now: datetime) -> None:
    """A shipment for each of these orders that has none."""
    orders = [
        {
            "order_no": one.order_no,
            "buyer_id": one.buyer_id,
            "address": msgspec.to_builtins(one.address),
            "lines": [{"sku": line.sku, "quantity": line.quantity} for line in one.lines],
        }
        for one in paid
    ]
    _CREATE.run("fulfillment", orders=sql.rows(orders), now=now)
