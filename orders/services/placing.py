"""Placing an order: a half message, a pre-order, and an answer that is given once per Idempotency-Key.

The price is the shop's: a request names articles and quantities, nothing else. The pre-order commits together with the
buyer's answer and with the outcome of the half message, so `OrderPlaced` is delivered if and only if the order exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from common import idempotency, ids, sql
from common.errors import InvalidInput
from common.money import CURRENCY
from messaging.transactions import send_in_transaction
from orders.messages import Line, OrderPlaced
from orders.models import CatalogItem, Party, PlacingAnswer

_PLACE = sql.Statement(Path(__file__).with_name("place.sql"))

LINE_COUNT_MAX = 50
QUANTITY_MAX = 999
#: What the payment company takes in one trade: 100 million yuan.
TOTAL_CENTS_MAX = 10_000_000_000


class Wanted(NamedTuple):
    """One line of a basket."""

    sku: str
    quantity: int


class SkuNotAvailable(InvalidInput):
    """An article that does not exist or is not on sale."""

    code = "SKU_NOT_AVAILABLE"


class _Twin(Exception):
    """The same key is being answered by another request; that one's answer counts."""


def place_order(*, buyer_id: int, wanted: Sequence[Wanted], key: str, now: datetime) -> dict[str, Any]:
    """Place the order that the basket asks for, once per buyer and key, and return the answer to give.

    Raises: InvalidInput, SkuNotAvailable: the basket cannot be ordered; KeyReused: the key had another basket.
    """
    fingerprint = idempotency.fingerprint(wanted)
    given = PlacingAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
    if given is not None:
        return given.body_for(fingerprint)
    articles = _articles(wanted)
    event = _draft(buyer_id, wanted, articles, now)
    answer = {"order_no": event.order_no, "status_url": f"/api/orders/{event.order_no}"}
    lines = [{"title": articles[line.sku].title, **msgspec.structs.asdict(line)} for line in event.lines]

    def work() -> None:
        placed = _PLACE.run(
            "orders",
            order_no=event.order_no,
            buyer_id=buyer_id,
            awaiting=Party.STOCK,
            total_cents=event.total_cents,
            currency=CURRENCY,
            lines=sql.rows(lines),
            key=key,
            fingerprint=fingerprint,
            answer=sql.jsonb(answer),
            now=now,
        )
        if not placed:
            raise _Twin

    try:
        send_in_transaction(event, work, using="orders")
    except _Twin:
        return PlacingAnswer.objects.get(buyer_id=buyer_id, key=key).body_for(fingerprint)
    return answer


def _articles(wanted: Sequence[Wanted]) -> dict[str, CatalogItem]:
    """What the basket names, by SKU.

    Raises: InvalidInput, SkuNotAvailable.
    """
    if not 1 <= len(wanted) <= LINE_COUNT_MAX:
        raise InvalidInput(f"An order has 1 to {LINE_COUNT_MAX} lines.", field="lines")
    if any(not 1 <= want.quantity <= QUANTITY_MAX for want in wanted):
        raise InvalidInput(f"A quantity is 1 to {QUANTITY_MAX}.", field="lines")
    if len({want.sku for want in wanted}) < len(wanted):
        raise InvalidInput("Every article has one line: add up its quantities.", field="lines")
    articles = CatalogItem.objects.filter(on_sale=True).in_bulk([want.sku for want in wanted])
    missing = [want.sku for want in wanted if want.sku not in articles]
    if missing:
        raise SkuNotAvailable(f"{missing[0]} cannot be ordered.", field="lines", skus=missing)
    return articles


def _draft(buyer_id: int, wanted: Sequence[Wanted], articles: dict[str, CatalogItem], now: datetime) -> OrderPlaced:
    """The order at today's prices; nothing is written yet.

    Raises: InvalidInput: it is too large.
    """
    lines = tuple(Line(want.sku, want.quantity, articles[want.sku].price_cents) for want in wanted)
    total_cents = sum(line.quantity * line.unit_price_cents for line in lines)
    if total_cents > TOTAL_CENTS_MAX:
        raise InvalidInput("The order is larger than one payment can be.", field="lines")
    order_no = ids.new_number(ids.ORDER, now)
    return OrderPlaced(
        order_no=order_no, version=1, buyer_id=buyer_id, placed_at=now, total_cents=total_cents, lines=lines
    )
