"""Payments over HTTP: the buyer's way to the cashier, and the gateways' callbacks.

POST /api/payments/{order_no}             the link to the cashier of a channel; asking again leads to the same trade
GET  /api/payments/{order_no}             how the payment stands
POST /api/payments/callbacks/{channel}    the gateways only; they are answered in their dialects, and learn nothing
"""

from __future__ import annotations

import logging
from typing import Literal

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router, Schema

from common import tokens
from common.clock import now
from common.errors import NotFound, TryAgain
from payments import queries
from payments.gateway import channels
from payments.gateway.contract import Callback
from payments.gateway.keys import KeysMissing
from payments.queries import PaymentView
from payments.services import callbacks, opening

_LOG = logging.getLogger(__name__)

router = Router(tags=["payments"])


#: No callback of either gateway is longer; one byte more shows that a body is.
_BODY_BYTES_MAX = 8 * 1024


class Choice(Schema):
    """How the buyer wants to pay."""

    channel: Literal["alipay", "wechat"] = channels.DEFAULT


class Cashier(Schema):
    channel: str
    cashier_url: str


_EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@router.api_operation(_EVERY_METHOD, "/payments/callbacks/alipay", include_in_schema=False)
def callback_of_alipay(request: HttpRequest) -> HttpResponse:
    """Every refusal reads the same: whoever forges callbacks learns nothing from the answers."""
    status = _receive(channels.ALIPAY, request)
    return HttpResponse("success" if status == 200 else "failure", status=status, content_type="text/plain")


@router.api_operation(_EVERY_METHOD, "/payments/callbacks/wechat", include_in_schema=False)
def callback_of_wechat(request: HttpRequest) -> HttpResponse:
    """As above; success is 204 without a word."""
    status = _receive(channels.WECHAT, request)
    return (
        HttpResponse(status=204) if status == 200 else JsonResponse({"code": "FAIL", "message": "失败"}, status=status)
    )


def _receive(channel: str, request: HttpRequest) -> int:
    """200, 400, or 503 when nothing could be recorded: the gateway keeps its word then and calls again."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    callback = Callback(request.method or "", headers, request.read(_BODY_BYTES_MAX + 1))
    try:
        return 200 if callbacks.receive(channel, callback, now=now()).is_success else 400
    except (KeysMissing, TryAgain, OperationalError, InterfaceError) as error:
        _LOG.warning("a callback could not be recorded: %s", error)
        return 503


@router.post("/payments/{slug:order_no}", auth=tokens.BuyerToken(), response=Cashier)
def pay(request: HttpRequest, order_no: str, choice: Choice | None = None) -> dict[str, str]:
    channel = (choice or Choice()).channel
    url = opening.cashier_url(order_no=order_no, buyer_id=tokens.buyer_id(request), now=now(), channel=channel)
    return {"channel": channel, "cashier_url": url}


@router.get("/payments/{slug:order_no}", auth=tokens.BuyerToken(), response=PaymentView)
def show(request: HttpRequest, order_no: str) -> PaymentView:
    view = queries.of_order(order_no, buyer_id=tokens.buyer_id(request))
    if view is None:
        raise NotFound("There is no order of this number to pay.")
    return view
