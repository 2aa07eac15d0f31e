"""Coupons over HTTP: what can be grabbed, grabbing it, and what one has.

GET  /api/coupons/templates                      what can be grabbed at this moment; anybody may look
POST /api/coupons/templates/{template_no}/grab   one of them, with an Idempotency-Key
GET  /api/coupons                                the buyer's own, those that expire first at the front
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.responses import Status

from common import tokens
from common.clock import now
from common.idempotency import KeyHeader
from coupons import queries
from coupons.models import Coupon, CouponTemplate
from coupons.services import issuing

router = Router(tags=["coupons"])
_buyer = tokens.BuyerToken()


class TemplateView(Schema):
    template_no: str
    title: str
    kind: str
    category: str
    threshold_cents: int
    off_cents: int
    percent_off: int
    off_cents_max: int | None
    per_buyer_limit: int
    left: int
    grab_until: datetime


class Templates(Schema):
    templates: list[TemplateView]


class CouponView(Schema):
    coupon_no: str
    template_no: str
    title: str
    kind: str
    status: str
    order_no: str
    expires_at: datetime

    @staticmethod
    def resolve_template_no(coupon: Coupon) -> str:
        return str(coupon.template_id)

    @staticmethod
    def resolve_title(coupon: Coupon) -> str:
        return coupon.template.title

    @staticmethod
    def resolve_kind(coupon: Coupon) -> str:
        return coupon.template.kind


class Coupons(Schema):
    coupons: list[CouponView]


class Grabbed(Schema):
    coupon_no: str
    template_no: str
    title: str
    expires_at: str


@router.get("/coupons/templates", response=Templates)
def templates(request: HttpRequest) -> dict[str, list[CouponTemplate]]:
    return {"templates": queries.open_templates(now=now())}


@router.post("/coupons/templates/{slug:template_no}/grab", response={201: Grabbed}, auth=_buyer)
def grab(request: HttpRequest, template_no: str, key: KeyHeader) -> Status[dict[str, Any]]:
    buyer_id = tokens.buyer_id(request)
    return Status(201, issuing.grab_coupon(buyer_id=buyer_id, template_no=template_no, key=key, now=now()))


@router.get("/coupons", response=Coupons, auth=_buyer)
def mine(
    request: HttpRequest,
    status: Annotated[Literal["ISSUED", "LOCKED", "REDEEMED", "EXPIRED"] | None, Query()] = None,
) -> dict[str, list[Coupon]]:
    return {"coupons": queries.coupons_of(buyer_id=tokens.buyer_id(request), status=status, now=now())}
