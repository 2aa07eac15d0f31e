"""Checkout over HTTP: the confirm page, and placing the order that it shows.

POST /api/checkout   the price with all its parts and all that could be chosen; nothing is held, so no key is needed
POST /api/orders     places it, with an Idempotency-Key; 202, for whoever holds something is asked afterwards
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict, Field

import orders.api
from checkout import page, terms
from common import tokens
from common.clock import now
from common.idempotency import KeyHeader
from orders.services.placing import Wish
from orders.services.pricing import LINE_COUNT_MAX, QUANTITY_MAX, TOTAL_CENTS_MAX, VERSION_LENGTH_MAX, Wanted

router = Router(tags=["checkout"], auth=tokens.BuyerToken())

Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Number = Annotated[str, Field(pattern=r"^[A-Z][0-9]{6}[0-9A-Z]{16}$")]
Title = Annotated[str, Field(max_length=100, pattern=r"^\S[^\x00-\x1f\x7f]*$")]


class WantedLine(Schema):
    model_config = ConfigDict(extra="forbid")

    sku: Sku
    quantity: Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX)]


class PersonalInvoice(Schema):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["PERSONAL"]
    title: Title


class CompanyInvoice(Schema):
    """`tax_no` is the unified social credit code (GB 32100): 18 characters, without I, O, S, V and Z."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["COMPANY"]
    title: Title
    tax_no: Annotated[str, Field(pattern=r"^[0-9A-HJ-NPQRTUWXY]{18}$")]


class Basket(Schema):
    """Articles, quantities and choices. Prices are the shop's, so a basket that names one is refused."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[list[WantedLine], Field(min_length=1, max_length=LINE_COUNT_MAX)]
    #: The buyer's default, if it is not said.
    address_no: Number | None = None
    coupon_no: Number | None = None
    red_packet_no: Number | None = None
    #: How much of the price the buyer's balance is to pay.
    balance_cents: Annotated[int, Field(strict=True, ge=0, le=TOTAL_CENTS_MAX)] = 0

    def wish(self) -> Wish:
        lines = [Wanted(line.sku, line.quantity) for line in self.lines]
        return Wish(lines, self.address_no, self.coupon_no, self.red_packet_no, self.balance_cents)


class Order(Basket):
    invoice: Annotated[PersonalInvoice | CompanyInvoice, Field(discriminator="kind")] | None = None
    #: From the confirm page: if a price is another one by now, the order is refused, and told which.
    price_version: Annotated[str, Field(max_length=VERSION_LENGTH_MAX)] | None = None

    def wish(self) -> Wish:
        invoice = None if self.invoice is None else self.invoice.dict()
        return super().wish()._replace(invoice=invoice, price_version=self.price_version)


class PricedLine(Schema):
    sku: str
    title: str
    quantity: int
    unit_price_cents: int
    discount_cents: int
    price_cents: int


class CouponOffer(Schema):
    coupon_no: str
    title: str
    expires_at: datetime
    discount_cents: int
    is_usable: bool
    reason: str | None


class BalanceOffer(Schema):
    available_cents: int
    usable_cents: int


class ShippingAddress(Schema):
    recipient: str
    phone: str
    region: str
    city: str
    street: str


class ConfirmPage(Schema):
    lines: list[PricedLine]
    goods_cents: int
    discount_cents: int
    #: None: not known before there is an address.
    freight_cents: int | None
    total_cents: int
    balance_cents: int
    payable_cents: int
    price_version: str
    address: ShippingAddress | None
    coupons: list[CouponOffer]
    red_packets: list[CouponOffer]
    balance: BalanceOffer
    invoice_kinds: list[str]


class Placed(Schema):
    order_no: str
    status_url: str


@router.post("/checkout", response=ConfirmPage)
def confirm(request: HttpRequest, basket: Basket) -> dict[str, Any]:
    return page.shown(page.confirm_page(buyer_id=tokens.buyer_id(request), wish=basket.wish(), now=now()))


# On the router of orders, which has the other methods of this address: an address has one view.
@orders.api.router.post("/orders", response={202: Placed}, tags=["checkout"])
def place(request: HttpRequest, order: Order, key: KeyHeader) -> Status[dict[str, Any]]:
    buyer_id = tokens.buyer_id(request)
    return Status(202, terms.place_order(buyer_id=buyer_id, wish=order.wish(), key=key, now=now()))
