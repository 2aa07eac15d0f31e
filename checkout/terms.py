"""What accounts and coupons know about an order that is to be placed: the address, the discounts, the balance.

Nothing is asked that the order does not need: one without coupon and balance costs one query, for its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from accounts import queries as accounts
from common.errors import ShopError
from coupons import queries as coupons
from coupons.rules import Discount
from coupons.rules import Item as CouponItem
from orders.messages import Address
from orders.services import placing
from orders.services.placing import Terms, Wish
from orders.services.pricing import Cut, Item


class AddressMissing(ShopError):
    """The order names no address, and the buyer has none."""

    code = "ADDRESS_MISSING"
    http_status = 422


class BalanceTooLow(ShopError):
    """The buyer's balance is less than the order is to take from it; `details` has `available_cents`."""

    code = "BALANCE_TOO_LOW"
    http_status = 422


def place_order(*, buyer_id: int, wish: Wish, key: str, now: datetime) -> dict[str, Any]:
    """Place the order; the answer to give.

    Raises: what `placing.place_order` raises; NotFound: no such address of this buyer; AddressMissing;
        CouponNotUsable; BalanceTooLow.
    """
    terms = partial(_terms, buyer_id, wish, now)
    return placing.place_order(buyer_id=buyer_id, wish=wish, terms=terms, key=key, now=now)


def _terms(buyer_id: int, wish: Wish, now: datetime, items: Sequence[Item]) -> Terms:
    address = address_of(buyer_id, wish.address_no)
    if address is None:
        raise AddressMissing("Where shall it go? Add an address first.", field="address_no")
    if wish.balance_cents and (available_cents := accounts.available_cents(buyer_id)) < wish.balance_cents:
        raise BalanceTooLow("Your balance is less than that.", field="balance_cents", available_cents=available_cents)
    coupon, red_packet = cuts_of(buyer_id, wish, items, now=now)
    return Terms(address, coupon, red_packet)


def address_of(buyer_id: int, address_no: str | None) -> Address | None:
    """The address of that number, or the buyer's default; None: there is none.

    Raises: NotFound.
    """
    found = accounts.address_of(buyer_id=buyer_id, address_no=address_no)
    if found is None:
        return None
    return Address(found.recipient, found.phone, found.region, found.city, found.street)


def cuts_of(buyer_id: int, wish: Wish, items: Sequence[Item], *, now: datetime) -> tuple[Cut | None, Cut | None]:
    """What the wish's coupon and red packet take off.

    Raises: CouponNotUsable.
    """
    if wish.coupon_no is None and wish.red_packet_no is None:
        return None, None
    coupon, red_packet = coupons.discounts(
        buyer_id=buyer_id,
        coupon_no=wish.coupon_no,
        red_packet_no=wish.red_packet_no,
        items=counted(items),
        now=now,
    )
    return _cut(coupon), _cut(red_packet)


def counted(items: Sequence[Item]) -> list[CouponItem]:
    """A basket as coupons counts it."""
    return [CouponItem(item.sku, item.category, item.cents) for item in items]


def _cut(discount: Discount | None) -> Cut | None:
    return None if discount is None else Cut(discount.coupon_no, discount.cents, discount.skus)
