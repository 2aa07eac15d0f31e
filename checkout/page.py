"""What the confirm page shows: the price with all its parts, and everything that could still be chosen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts import queries as accounts
from checkout import terms
from coupons import queries as coupons
from coupons import rules
from coupons.queries import Offer
from orders.messages import Address
from orders.services import pricing
from orders.services.placing import Wish
from orders.services.pricing import Quote


@dataclass(frozen=True)
class Page:
    quote: Quote
    address: Address | None
    coupons: list[Offer]
    red_packets: list[Offer]
    #: What of the balance may be spent on this order, at most.
    usable_balance_cents: int
    available_balance_cents: int


def confirm_page(*, buyer_id: int, wish: Wish, now: datetime) -> Page:
    """The page for a wish that may be incomplete: without an address it shows no freight. Nothing is held yet.

    Raises: InvalidInput, SkuNotAvailable, NotFound, CouponNotUsable: a choice that cannot be had.
    """
    basket = pricing.fill_basket(wish.lines)
    address = terms.address_of(buyer_id, wish.address_no)
    coupon, red_packet = terms.cuts_of(buyer_id, wish, basket.items, now=now)
    available_cents = accounts.available_cents(buyer_id)

    def quoted(balance_cents: int) -> Quote:
        region = address.region if address else None
        return pricing.quote(basket, region=region, coupon=coupon, red_packet=red_packet, balance_cents=balance_cents)

    usable_cents = min(available_cents, quoted(0).total_cents)
    offers = coupons.offers(
        buyer_id=buyer_id, items=terms.counted(basket.items), coupon_cents=coupon.cents if coupon else 0, now=now
    )
    return Page(
        quote=quoted(min(wish.balance_cents, usable_cents)),
        address=address,
        coupons=[one for one in offers if not rules.is_red_packet(one.coupon)],
        red_packets=[one for one in offers if rules.is_red_packet(one.coupon)],
        usable_balance_cents=usable_cents,
        available_balance_cents=available_cents,
    )


def shown(page: Page) -> dict[str, Any]:
    """The page as JSON has it."""
    quote = page.quote
    titles = {sku: article.title for sku, article in quote.basket.articles.items()}
    return {
        "lines": [
            {
                "sku": line.sku,
                "title": titles[line.sku],
                "quantity": line.quantity,
                "unit_price_cents": line.unit_price_cents,
                "discount_cents": line.discount_cents,
                "price_cents": line.price_cents,
            }
            for line in quote.lines
        ],
        "goods_cents": quote.goods_cents,
        "discount_cents": quote.discount_cents,
        "freight_cents": quote.freight_cents if page.address else None,
        "total_cents": quote.total_cents,
        "balance_cents": quote.balance_cents,
        "payable_cents": quote.payable_cents,
        "price_version": quote.version,
        "address": page.address,
        "coupons": [_offer(one) for one in page.coupons],
        "red_packets": [_offer(one) for one in page.red_packets],
        "balance": {"available_cents": page.available_balance_cents, "usable_cents": page.usable_balance_cents},
        "invoice_kinds": ["PERSONAL", "COMPANY"],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "coupon_no": offer.coupon.coupon_no,
        "title": offer.coupon.template.title,
        "expires_at": offer.coupon.expires_at,
        "discount_cents": offer.discount_cents,
        "is_usable": offer.reason is None,
        "reason": offer.reason,
    }
