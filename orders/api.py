"""Orders over HTTP: look at, list, cancel, confirm the receipt, ask for money back. They are placed at the checkout.

GET  /api/orders                     the buyer's confirmed orders, newest first
GET  /api/orders/{order_no}          one order, from the moment it is placed; somebody else's is not found
POST /api/orders/{order_no}/cancel   gives up an order that is not shipped; once more changes nothing
POST /api/orders/{order_no}/receipt  the parcel came; once more changes nothing
POST /api/orders/{order_no}/refunds  asks some units back, or all that is left, with an Idempotency-Key; 202
GET  /api/orders/{order_no}/refunds  what became of that
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict, Field

from common import tokens
from common.clock import now
from common.idempotency import KeyHeader
from orders import queries
from orders.models import Order, RefundCase
from orders.services import asking_back, closing, shipping
from orders.services.pricing import LINE_COUNT_MAX, QUANTITY_MAX, Wanted

router = Router(tags=["orders"], auth=tokens.BuyerToken())

PAGE_COUNT_MAX = 100
Sku = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class BasketLine(Schema):
    model_config = ConfigDict(extra="forbid")

    sku: Sku
    quantity: Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX)]


class LineView(Schema):
    sku: str
    title: str
    quantity: int
    unit_price_cents: int
    discount_cents: int
    price_cents: int


class OrderView(Schema):
    order_no: str
    status: str
    version: int
    total_cents: int
    discount_cents: int
    freight_cents: int
    balance_cents: int
    payable_cents: int
    coupon_no: str
    red_packet_no: str
    currency: str
    address: dict[str, Any] | None
    invoice: dict[str, Any] | None
    reason: str
    reason_details: dict[str, Any] | None
    placed_at: datetime
    expires_at: datetime | None
    paid_at: datetime | None
    tracking_no: str
    shipped_at: datetime | None
    delivered_at: datetime | None
    receipt_due_at: datetime | None
    ended_at: datetime | None
    lines: list[LineView]

    @staticmethod
    def resolve_status(order: Order) -> str:
        return order.shown_status

    @staticmethod
    def resolve_lines(order: Order) -> list[Any]:
        return sorted(order.lines.all(), key=lambda line: line.sku)


class AskedBack(Schema):
    """Which units, all that is left when no lines are named, and why, in the buyer's own words."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[list[BasketLine], Field(min_length=1, max_length=LINE_COUNT_MAX)] | None = None
    reason: Annotated[str, Field(max_length=200)] = ""


class RefundLineView(Schema):
    sku: str
    quantity: int
    amount_cents: int


class RefundView(Schema):
    refund_no: str
    status: str
    amount_cents: int
    reason: str
    decision: str
    requested_at: datetime
    settled_at: datetime | None
    lines: list[RefundLineView]

    @staticmethod
    def resolve_lines(case: RefundCase) -> list[Any]:
        return sorted(case.lines.all(), key=lambda line: line.sku)


class Requested(Schema):
    refund_no: str
    amount_cents: int
    status_url: str


class Page(Schema):
    orders: list[OrderView]
    #: Give it as `before` to get the next page; absent on the last one.
    next_before: str | None


@router.get("/orders", response=Page)
def mine(
    request: HttpRequest,
    limit: Annotated[int, Query(ge=1, le=PAGE_COUNT_MAX)] = 20,
    before: Annotated[str | None, Query(max_length=32)] = None,
) -> dict[str, Any]:
    orders = queries.orders_of(buyer_id=tokens.buyer_id(request), limit=limit, before=before)
    return {"orders": orders, "next_before": orders[-1].order_no if len(orders) == limit else None}


@router.get("/orders/{slug:order_no}", response=OrderView)
def show(request: HttpRequest, order_no: str) -> Order:
    return queries.order_of(order_no=order_no, buyer_id=tokens.buyer_id(request))


@router.post("/orders/{slug:order_no}/cancel", response={202: OrderView})
def cancel(request: HttpRequest, order_no: str) -> Status[Order]:
    buyer_id = tokens.buyer_id(request)
    closing.cancel_order(order_no=order_no, buyer_id=buyer_id, now=now())
    return Status(202, queries.order_of(order_no=order_no, buyer_id=buyer_id))


@router.post("/orders/{slug:order_no}/receipt", response=OrderView)
def receive(request: HttpRequest, order_no: str) -> Order:
    buyer_id = tokens.buyer_id(request)
    shipping.confirm_receipt(order_no=order_no, buyer_id=buyer_id, now=now())
    return queries.order_of(order_no=order_no, buyer_id=buyer_id)


@router.post("/orders/{slug:order_no}/refunds", response={202: Requested})
def ask_back(request: HttpRequest, order_no: str, asked: AskedBack, key: KeyHeader) -> Status[dict[str, Any]]:
    wanted = None if asked.lines is None else [Wanted(line.sku, line.quantity) for line in asked.lines]
    answer = asking_back.ask_back(
        order_no=order_no, buyer_id=tokens.buyer_id(request), wanted=wanted, reason=asked.reason, key=key, now=now()
    )
    return Status(202, answer)


@router.get("/orders/{slug:order_no}/refunds", response=list[RefundView])
def refunds_of(request: HttpRequest, order_no: str) -> list[RefundCase]:
    return queries.refund_cases_of(order_no=order_no, buyer_id=tokens.buyer_id(request))
