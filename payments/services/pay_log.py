"""The pay log: one line per paid order, for people who look for who paid what; one statement for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from common import sql
from orders.messages import OrderPaid

_LOG = sql.Statement(Path(__file__).with_name("pay_log.sql"))


def log(paid: Sequence[OrderPaid], *, now: datetime) -> None:
    """Write down what paid these orders; the same order again changes nothing."""
    orders = [
        {
            "order_no": one.order_no,
            "buyer_id": one.buyer_id,
            "payment_no": one.payment_no,
            "total_cents": one.total_cents,
            "balance_cents": one.balance_cents,
        }
        for one in paid
    ]
    _LOG.run("payments", orders=sql.rows(orders), now=now)
