"""Who may call what: every address of the shop has a row here, and every row is tried by everybody.

A route without a row fails, and so does a row whose route is gone. What is one buyer's does not exist for another:
the answer is the one for a number that nobody has, so that asking teaches nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any
from unittest.mock import patch

import pytest
from django.core import signing
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from accounts.models import Address, User
from common import ids, tokens
from config.api import api
from config.environment import SERVICES
from orders.models import Order, OrderLine, Status
from payments.models import Payment

pytestmark = pytest.mark.django_db(databases=list(SERVICES))

OWNER, STRANGER = 71, 72
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def _numbers() -> dict[str, str]:
    """One for everything that a route names."""
    kinds = {"order_no": ids.ORDER, "address_no": ids.ADDRESS}
    return {name: ids.new_number(kind, NOON) for name, kind in kinds.items()} | {"template_no": "NONE"}


#: Of the owner's things in these tests, and of things that nobody has.
OWNERS, NOBODYS = _numbers(), _numbers()


class Who(Enum):
    ANYBODY = "no token is asked for"
    BUYERS = "a token of any buyer; one's own things"
    OWNER = "a token of the buyer whose thing it is"
    GATEWAYS = "a signature of the payment company"


MATRIX = {
    "GET /": Who.ANYBODY,
    "GET /healthz": Who.ANYBODY,
    "GET /readyz": Who.ANYBODY,
    "GET /api/docs": Who.ANYBODY,
    "GET /api/openapi.json": Who.ANYBODY,
    "GET /api/products": Who.ANYBODY,
    "GET /api/coupons/templates": Who.ANYBODY,
    "POST /api/login": Who.ANYBODY,
    "GET /api/me": Who.BUYERS,
    "GET /api/me/balance": Who.BUYERS,
    "GET /api/addresses": Who.BUYERS,
    "POST /api/addresses": Who.BUYERS,
    "PUT /api/addresses/{address_no}": Who.OWNER,
    "DELETE /api/addresses/{address_no}": Who.OWNER,
    "GET /api/coupons": Who.BUYERS,
    "POST /api/coupons/templates/{template_no}/grab": Who.BUYERS,
    "POST /api/checkout": Who.BUYERS,
    "POST /api/orders": Who.BUYERS,
    "GET /api/orders": Who.BUYERS,
    "GET /api/orders/{order_no}": Who.OWNER,
    "POST /api/orders/{order_no}/cancel": Who.OWNER,
    "POST /api/orders/{order_no}/receipt": Who.OWNER,
    "POST /api/orders/{order_no}/refunds": Who.OWNER,
    "GET /api/orders/{order_no}/refunds": Who.OWNER,
    "POST /api/payments/{order_no}": Who.OWNER,
    "GET /api/payments/{order_no}": Who.OWNER,
    "* /api/payments/callbacks/alipay": Who.GATEWAYS,
    "* /api/payments/callbacks/wechat": Who.GATEWAYS,
}

#: What a route needs to be about anything at all.
BODIES: dict[str, Any] = {
    "PUT /api/addresses/{address_no}": {
        "recipient": "Lin",
        "phone": "+86 21 5555",
        "region": "CN-SH",
        "city": "Shanghai",
        "street": "Tea Street 1",
    },
    "POST /api/orders/{order_no}/refunds": {},
    "POST /api/payments/{order_no}": {},
}


def rows(*kinds: Who) -> list[str]:
    return [row for row, who in MATRIX.items() if who in kinds]


def ask(row: str, token: str | None = None, *, numbers: dict[str, str] = OWNERS) -> Any:
    method, path = row.split()
    headers = {"Idempotency-Key": "an-access-test-key"} | ({"Authorization": f"Bearer {token}"} if token else {})
    address = path.format_map(numbers)
    client = Client(raise_request_exception=False)
    body = json.dumps(BODIES.get(row, {}))
    return client.generic(method.replace("*", "POST"), address, body, "application/json", headers=headers)


@pytest.fixture(autouse=True)
def things() -> None:
    """Everything that the routes with a number in them are about, the owner's, under one number."""
    for buyer_id, name in ((OWNER, "owner"), (STRANGER, "stranger")):
        User.objects.create(id=buyer_id, username=name)
    order = Order.objects.create(
        order_no=OWNERS["order_no"],
        buyer_id=OWNER,
        status=Status.PENDING_PAYMENT,
        version=2,
        total_cents=2500,
        currency="CNY",
        placed_at=NOON,
        payable_at=NOON,
    )
    OrderLine.objects.create(order=order, sku="TEAPOT", title="Teapot", quantity=1, unit_price_cents=2500)
    Payment.objects.create(
        order_no=OWNERS["order_no"],
        payment_no="P71",
        buyer_id=OWNER,
        amount_cents=2500,
        currency="CNY",
        order_version=2,
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    Address.objects.create(
        **BODIES["PUT /api/addresses/{address_no}"], address_no=OWNERS["address_no"], buyer_id=OWNER, created_at=NOON
    )


def routes() -> Iterator[str]:
    """Every route, as the resolver and the API know it."""
    for prefix, router in api._routers:
        for path, view in router.path_operations.items():
            for operation in view.operations:
                address = "/".join(part.strip("/") for part in ("/api", prefix, path) if part.strip("/"))
                address = re.sub(r"{\w+:", "{", address)
                methods = ["*"] if len(operation.methods) > 1 else operation.methods
                yield from (f"{method} /{address}" for method in methods)
    for pattern in get_resolver().url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"GET /{pattern.pattern}"
    for pattern in _of_ninja():
        if "openapi" in str(pattern.pattern) or "docs" in str(pattern.pattern):
            yield f"GET /api/{pattern.pattern}"


def _of_ninja() -> list[Any]:
    (resolver,) = (one for one in get_resolver().url_patterns if isinstance(one, URLResolver))
    return list(resolver.url_patterns)


def forged_tokens() -> dict[str, str]:
    long_ago_s = time.time() - tokens.TOKEN_LIFETIME.total_seconds() - 60
    with patch("django.core.signing.time.time", return_value=long_ago_s):
        too_old = tokens.issue(OWNER)
    genuine = tokens.issue(OWNER)
    return {
        "none": "",
        "garbage": "M" * 64,
        "too old": too_old,
        "of another salt": signing.dumps(OWNER, salt="millrace.seller"),
        "of another secret": signing.dumps(OWNER, key="not the shop's", salt="millrace.buyer"),
        "changed": genuine[:-1] + ("A" if genuine[-1] != "A" else "B"),
    }


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert sorted(routes()) == sorted(MATRIX)


@pytest.mark.parametrize("row", rows(Who.ANYBODY))
def test_needs_no_token(row: str) -> None:
    assert ask(row).status_code not in (401, 403, 404)


@pytest.mark.parametrize("row", rows(Who.BUYERS, Who.OWNER))
def test_nobody_comes_in_without_a_genuine_token(row: str) -> None:
    for kind, token in forged_tokens().items():
        response = ask(row, token)

        assert (response.status_code, response.json()["code"]) == (401, "NOT_AUTHENTICATED"), kind


@pytest.mark.parametrize("row", rows(Who.OWNER))
def test_for_another_buyer_it_does_not_exist(row: str) -> None:
    stranger = tokens.issue(STRANGER)

    response, of_nobody = ask(row, stranger), ask(row, stranger, numbers=NOBODYS)

    assert response.status_code == 404
    assert _without_numbers(response) == _without_numbers(of_nobody)
    assert ask(row, tokens.issue(OWNER)).status_code != 404, "the owner's own"


def _without_numbers(response: Any) -> str:
    """What it says besides the number that was asked for."""
    text: str = response.content.decode()
    for number in (*OWNERS.values(), *NOBODYS.values()):
        text = text.replace(number, "NUMBER")
    return text


@pytest.mark.parametrize("row", [row for row in rows(Who.BUYERS) if row.startswith("GET")])
def test_shows_a_buyer_nothing_of_another(row: str) -> None:
    response = ask(row, tokens.issue(STRANGER))

    assert response.status_code == 200
    assert not any(number in response.content.decode() for number in OWNERS.values())


@pytest.mark.parametrize("row", rows(Who.GATEWAYS))
def test_no_token_opens_what_a_signature_must(row: str) -> None:
    for token in (None, tokens.issue(OWNER)):
        assert ask(row, token).status_code in (400, 503)
    assert Payment.objects.get(order_no=OWNERS["order_no"]).status == Payment.Status.PENDING
