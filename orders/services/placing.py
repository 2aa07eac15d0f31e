"""Placing an order: a half message, a pre-order, and an answer that is given once per Idempotency-Key.

The price is the shop's: a request names articles, quantities and coupons, nothing else. The pre-order commits together
with the buyer's answer and with the outcome of the half message, so `OrderPlaced` is delivered if and only if the order
exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import connections

from common import idempotency, ids, sql
from common.errors import ShopError
from common.money import CURRENCY
from messaging.transactions import send_in_transaction
from orders import messages
from orders.messages import Address, OrderPlaced
from orders.models import Party, PlacingAnswer
from orders.services import pricing
from orders.services.pricing import Cut, Item, Quote, Wanted

_PLACE = sql.Statement(Path(__file__).with_name("place.sql"))
_LIMITS = sql.Statement(Path(__file__).with_name("limits.sql"))
#: The family of PostgreSQL's advisory locks that makes the orders of one buyer be placed one after the other.
_BUYER_LOCK = 7310


class Wish(NamedTuple):
    """All that a request to place an order says; the same key goes with the same wish only."""

    lines: Sequence[Wanted]
    address_no: str | None = None
    coupon_no: str | None = None
    red_packet_no: str | None = None
    balance_cents: int = 0
    invoice: Mapping[str, Any] | None = None
    #: The price that the buyer was shown; None: whatever it is now.
    price_version: str | None = None


class Terms(NamedTuple):
    """What others than orders know about a wish."""

    address: Address
    coupon: Cut | None = None
    red_packet: Cut | None = None


class TooManyOpenOrders(ShopError):
    """The buyer has as many unpaid orders as one may have: stock is not to be hoarded."""

    code = "TOO_MANY_OPEN_ORDERS"


class BuyerLimitReached(ShopError):
    """The buyer wants more of an article than one may have; `details` has the `sku`, the `limit` and what one `has`."""

    code = "BUYER_LIMIT_REACHED"


class _Twin(Exception):
    """The same key is being answered by another request; that one's answer counts."""


def place_order(
    *, buyer_id: int, wish: Wish, terms: Callable[[Sequence[Item]], Terms], key: str, now: datetime
) -> dict[str, Any]:
    """Place the order that the wish describes, once per buyer and key, and return the answer to give.

    `terms` is asked for what orders does not know, unless the key has an answer already.

    Raises: InvalidInput, SkuNotAvailable: the basket cannot be ordered; PriceChanged; TooManyOpenOrders,
        BuyerLimitReached; KeyReused: the key had another wish; QueueUnavailable; and whatever `terms` raises.
    """
    fingerprint = idempotency.fingerprint(wish)
    given = PlacingAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
    if given is not None:
        return given.body_for(fingerprint)
    basket = pricing.fill_basket(wish.lines)
    address, coupon, red_packet = terms(basket.items)
    quote = pricing.quote(
        basket, region=address.region, coupon=coupon, red_packet=red_packet, balance_cents=wish.balance_cents
    )
    if wish.price_version is not None:
        quote.refuse_if_changed(wish.price_version)
    event = _draft(buyer_id, quote, now)
    answer = {"order_no": event.order_no, "status_url": f"/api/orders/{event.order_no}"}

    def work() -> None:
        _keep_to_limits(buyer_id, quote)
        placed = _PLACE.run(
            "orders",
            **_columns(event, quote),
            address=sql.jsonb(address),
            invoice=None if wish.invoice is None else sql.jsonb(wish.invoice),
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


def _draft(buyer_id: int, quote: Quote, now: datetime) -> OrderPlaced:
    return OrderPlaced(
        order_no=ids.new_number(ids.ORDER, now),
        version=1,
        buyer_id=buyer_id,
        placed_at=now,
        total_cents=quote.total_cents,
        freight_cents=quote.freight_cents,
        balance_cents=quote.balance_cents,
        coupon=_told(quote.coupon),
        red_packet=_told(quote.red_packet),
        lines=quote.lines,
    )


def _told(cut: Cut | None) -> messages.Cut | None:
    return None if cut is None else messages.Cut(cut.coupon_no, cut.cents)


def _awaiting(event: OrderPlaced) -> Party:
    """Who has to agree: nobody waits for a service that the order does not need."""
    parties = Party.STOCK
    if event.coupon or event.red_packet:
        parties |= Party.COUPON
    if event.balance_cents:
        parties |= Party.BALANCE
    return parties


def _columns(event: OrderPlaced, quote: Quote) -> dict[str, Any]:
    titles = {sku: article.title for sku, article in quote.basket.articles.items()}
    lines = [{"title": titles[line.sku], **msgspec.structs.asdict(line)} for line in event.lines]
    return {
        "order_no": event.order_no,
        "buyer_id": event.buyer_id,
        "awaiting": _awaiting(event),
        "total_cents": event.total_cents,
        "freight_cents": event.freight_cents,
        "coupon_no": event.coupon.coupon_no if event.coupon else "",
        "coupon_cents": event.coupon.discount_cents if event.coupon else 0,
        "red_packet_no": event.red_packet.coupon_no if event.red_packet else "",
        "red_packet_cents": event.red_packet.discount_cents if event.red_packet else 0,
        "balance_cents": event.balance_cents,
        "currency": CURRENCY,
        "lines": sql.rows(lines),
    }


def _keep_to_limits(buyer_id: int, quote: Quote) -> None:
    """Raises: TooManyOpenOrders, BuyerLimitReached."""
    limits = {
        sku: article.per_buyer_limit
        for sku, article in quote.basket.articles.items()
        if article.per_buyer_limit is not None
    }
    with connections["orders"].cursor() as cursor:
        # In a statement of its own: what is counted after it includes what a rival that held the lock has placed.
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashint8(%s))", [_BUYER_LOCK, buyer_id])
    has = {sku: int(count) for sku, count in _LIMITS.run("orders", buyer_id=buyer_id, skus=list(limits))}
    if has[""] >= settings.OPEN_ORDERS_PER_BUYER_MAX:
        raise TooManyOpenOrders("Pay or cancel an order first.", limit=settings.OPEN_ORDERS_PER_BUYER_MAX)
    for line in quote.lines:
        limit, had = limits.get(line.sku), has.get(line.sku, 0)
        if limit is not None and had + line.quantity > limit:
            raise BuyerLimitReached(
                f"One may have {limit} of {line.sku}.", field="lines", sku=line.sku, limit=limit, has=had
            )
