"""What an order costs: from a basket and today's prices to a quote in which every cent has a line.

Coupon and red packet are told from outside, as sums over some of the lines, and are checked again by whoever owns them
(see `OrderPlaced`). Both are divided over the lines they count, and what the balance pays over lines and freight, in
proportion and to the cent (`common.money.split`): so any part of an order can be given back exactly.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from common import money
from common.errors import InvalidInput, ShopError
from orders.messages import Line
from orders.models import CatalogItem
from orders.services import freight
from orders.services.freight import Parcel

LINE_COUNT_MAX = 50
QUANTITY_MAX = 999
#: What the payment company takes in one trade: 100 million yuan.
TOTAL_CENTS_MAX = 10_000_000_000
#: Characters of a price version: 50 lines of the dearest articles have less.
VERSION_LENGTH_MAX = 2_000


class Wanted(NamedTuple):
    """One line of a basket."""

    sku: str
    quantity: int


class Item(NamedTuple):
    """One line of a basket at list price, as coupons count it."""

    sku: str
    category: str
    cents: int


class Cut(NamedTuple):
    """What a coupon or red packet takes off, and which lines it counts."""

    coupon_no: str
    cents: int
    skus: frozenset[str]


class SkuNotAvailable(InvalidInput):
    """An article that does not exist or is not on sale."""

    code = "SKU_NOT_AVAILABLE"


class PriceChanged(ShopError):
    """Something costs another sum than the buyer was shown; `details` has the `changes` and the new `price_version`."""

    code = "PRICE_CHANGED"


@dataclass(frozen=True)
class Basket:
    """What is wanted, and the articles as the shop sells them today."""

    wanted: Sequence[Wanted]
    articles: Mapping[str, CatalogItem]

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return tuple(
            Item(sku, self.articles[sku].category, quantity * self.articles[sku].price_cents)
            for sku, quantity in self.wanted
        )

    @property
    def weight_grams(self) -> int:
        return sum(quantity * self.articles[sku].weight_grams for sku, quantity in self.wanted)


class _Version(msgspec.Struct, frozen=True, array_like=True):
    """The sums that a buyer was shown; unit prices in the order of SKUs."""

    unit_prices_cents: tuple[int, ...]
    coupon_cents: int
    red_packet_cents: int
    freight_cents: int


@dataclass(frozen=True)
class Quote:
    """An order's price with all its parts; `lines` carry their shares of discount and balance."""

    basket: Basket
    lines: tuple[Line, ...]
    coupon: Cut | None
    red_packet: Cut | None
    freight_cents: int
    balance_cents: int

    @property
    def goods_cents(self) -> int:
        return sum(line.goods_cents for line in self.lines)

    @property
    def discount_cents(self) -> int:
        return sum(line.discount_cents for line in self.lines)

    @property
    def total_cents(self) -> int:
        return self.goods_cents - self.discount_cents + self.freight_cents

    @property
    def payable_cents(self) -> int:
        """What the payment company is to take."""
        return self.total_cents - self.balance_cents

    @property
    def version(self) -> str:
        """The sums as a word that a client hands back unread: so a stale one can be told what has changed."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self._sums)).decode()

    def refuse_if_changed(self, version: str) -> None:
        """Raises: PriceChanged: `version` has other sums; InvalidInput: it is none of ours."""
        shown, now = _read(version), self._sums
        skus = sorted(line.sku for line in self.lines)
        if len(shown.unit_prices_cents) != len(skus):
            raise InvalidInput("This price version is of another basket.", field="price_version")
        prices = zip(skus, shown.unit_prices_cents, now.unit_prices_cents, strict=True)
        changes: list[dict[str, Any]] = [
            {"what": "unit_price_cents", "sku": sku, "was": was, "is": is_now}
            for sku, was, is_now in prices
            if was != is_now
        ]
        for what in ("coupon_cents", "red_packet_cents", "freight_cents"):
            was, is_now = getattr(shown, what), getattr(now, what)
            if was != is_now:
                changes.append({"what": what, "was": was, "is": is_now})
        if changes:
            raise PriceChanged(
                "The price has changed: look at it again, then order.", changes=changes, price_version=self.version
            )

    @property
    def _sums(self) -> _Version:
        return _Version(
            tuple(line.unit_price_cents for line in sorted(self.lines, key=lambda line: line.sku)),
            self.coupon.cents if self.coupon else 0,
            self.red_packet.cents if self.red_packet else 0,
            self.freight_cents,
        )


def _read(version: str) -> _Version:
    try:
        return msgspec.json.decode(base64.b64decode(version, altchars=b"-_", validate=True), type=_Version)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise InvalidInput("This is no price version of this shop.", field="price_version") from error


def fill_basket(wanted: Sequence[Wanted]) -> Basket:
    """What the basket names, at today's prices.

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
    return Basket(wanted, articles)


def quote(
    basket: Basket,
    *,
    region: str | None,
    coupon: Cut | None = None,
    red_packet: Cut | None = None,
    balance_cents: int = 0,
) -> Quote:
    """The price of a basket sent to a region (None: nobody knows yet, so without freight).

    Raises: InvalidInput: it is too large for one payment, or the balance is to pay more than it costs.
    """
    goods = [item.cents for item in basket.items]
    coupon_shares = _shares(coupon, basket, goods)
    after_coupon = [cents - share for cents, share in zip(goods, coupon_shares, strict=True)]
    red_packet_shares = _shares(red_packet, basket, after_coupon)
    prices = [cents - share for cents, share in zip(after_coupon, red_packet_shares, strict=True)]
    freight_cents = 0
    if region is not None:
        freight_cents = freight.freight_cents(Parcel(region, basket.weight_grams, sum(prices)))
    total_cents = sum(prices) + freight_cents
    if total_cents > TOTAL_CENTS_MAX:
        raise InvalidInput("The order is larger than one payment can be.", field="lines")
    if not 0 <= balance_cents <= total_cents:
        raise InvalidInput("The balance pays at most what the order costs.", field="balance_cents", total=total_cents)
    *balance_shares, _ = money.split(balance_cents, [*prices, freight_cents])
    lines = tuple(
        Line(
            sku=sku,
            quantity=quantity,
            unit_price_cents=basket.articles[sku].price_cents,
            discount_cents=coupon_shares[place] + red_packet_shares[place],
            balance_cents=balance_shares[place],
            category=basket.articles[sku].category,
        )
        for place, (sku, quantity) in enumerate(basket.wanted)
    )
    return Quote(basket, lines, coupon, red_packet, freight_cents, balance_cents)


def _shares(cut: Cut | None, basket: Basket, cents: Sequence[int]) -> list[int]:
    if cut is None:
        return [0] * len(cents)
    weights = [one if sku in cut.skus else 0 for (sku, _), one in zip(basket.wanted, cents, strict=True)]
    assert cut.cents <= sum(weights), f"{cut.coupon_no} takes off {cut.cents} of {sum(weights)}"
    return money.split(cut.cents, weights)
