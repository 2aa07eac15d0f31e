"""Articles over HTTP: what is on sale, what it costs, how many are left. Anybody may look.

GET /api/products   in SKU order; `after` is the last SKU of the page before
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Query, Router, Schema

from inventory import queries
from inventory.models import Sku

router = Router(tags=["products"])


class Product(Schema):
    sku: str
    title: str
    price_cents: int
    available: int

    @staticmethod
    def resolve_available(sku: Sku) -> int:
        return sku.stock.available


class Products(Schema):
    products: list[Product]


@router.get("/products", response=Products)
def products(
    request: HttpRequest,
    after: Annotated[str, Query(max_length=64, pattern=r"^[A-Za-z0-9._-]*$")] = "",
    limit: Annotated[int, Query(ge=1, le=queries.PRODUCT_COUNT_MAX)] = 50,
) -> dict[str, list[Sku]]:
    return {"products": queries.products(after=after, limit=limit)}
