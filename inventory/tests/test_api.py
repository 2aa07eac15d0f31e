from __future__ import annotations

import pytest
from django.test import Client

from inventory.models import Sku
from inventory.tests import shelf

pytestmark = pytest.mark.django_db(databases=["inventory"])


class TestProducts:
    def test_shows_what_is_on_sale_and_how_many_are_left(self):
        shelf.put(CUP=20, TEAPOT=5)
        shelf.reserve("M1", TEAPOT=2)
        Sku.objects.filter(sku="CUP").update(on_sale=False)

        response = Client().get("/api/products")

        assert response.json() == {
            "products": [{"sku": "TEAPOT", "title": "Teapot", "price_cents": 1250, "available": 3}]
        }

    def test_turns_pages_in_one_query_each(self, django_assert_num_queries):
        shelf.put(A=1, B=1, C=1)

        with django_assert_num_queries(2, using="inventory"):
            first = Client().get("/api/products?limit=2").json()["products"]
            second = Client().get(f"/api/products?limit=2&after={first[-1]['sku']}").json()["products"]

        assert [product["sku"] for product in first + second] == ["A", "B", "C"]

    @pytest.mark.parametrize("query", ["limit=0", "limit=201", "after=%00", "after=" + "A" * 65])
    def test_refuses_wrong_pages(self, query: str):
        assert Client().get(f"/api/products?{query}").status_code == 422
