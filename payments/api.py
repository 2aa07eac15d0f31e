"""Payments over HTTP: the buyer's way to the cashier, and the gateway's callbacks.

POST /api/payments/{order_no}   the link to the cashier; asking again gives another link to the same trade
GET  /api/payments/{order_no}   how the payment stands
POST /api/payments/callback     the gateway only; the answer is the word `success`, or `failure`
"""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema

from common import tokens
from common.clock import now
from common.errors import NotFound, TryAgain
from payments import queries
from payments.gateway.keys import KeysMissing
from payments.gateway.notice import BODY_BYTES_MAX, Verdict
from payments.queries import PaymentView
from payments.services import callbacks, opening

_LOG = logging.getLogger(__name__)

router = Router(tags=["payments"])


class Cashier(Schema):
    cashier_url: str


@router.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "/payments/callback", include_in_schema=False)
def callback(request: HttpRequest) -> HttpResponse:
    """Every refusal reads the same: whoever forges callbacks learns nothing from the answers."""
    body = request.read(BODY_BYTES_MAX + 1)
    try:
        if request.method != "POST":
            return _word(callbacks.refuse(Verdict.NOT_POST, body, now=now()))
        return _word(callbacks.receive(body, now=now()))
    except (KeysMissing, TryAgain, OperationalError, InterfaceError) as error:
        # Nothing was recorded; the gateway keeps its word and calls again.
        _LOG.warning("a callback could not be recorded: %s", error)
        return HttpResponse("failure", status=503, content_type="text/plain")


@router.post("/payments/{slug:order_no}", auth=tokens.BuyerToken(), response=Cashier)
def pay(request: HttpRequest, order_no: str) -> dict[str, str]:
    url = opening.cashier_url(order_no=order_no, buyer_id=tokens.buyer_id(request), now=now())
    return {"cashier_url": url}


@router.get("/payments/{slug:order_no}", auth=tokens.BuyerToken(), response=PaymentView)
def show(request: HttpRequest, order_no: str) -> PaymentView:
    view = queries.of_order(order_no, buyer_id=tokens.buyer_id(request))
    if view is None:
        raise NotFound("There is no order of this number to pay.")
    return view


def _word(verdict: Verdict) -> HttpResponse:
    if verdict.is_success:
        return HttpResponse("success", content_type="text/plain")
    return HttpResponse("failure", status=400, content_type="text/plain")
