from __future__ import annotations

import pytest

from orders.models import CatalogItem
from orders.services import catalog

pytestmark = pytest.mark.django_db(databases=["orders"])


def copy(version: int, price_cents: int) -> None:
    catalog.copy_sku(sku="TEAPOT", version=version, title="Teapot", price_cents=price_cents, on_sale=True)


class TestCopySku:
    def test_takes_over_what_is_newer(self):
        copy(1, 1250)
        copy(2, 1300)

        assert CatalogItem.objects.get().price_cents == 1300

    def test_ignores_what_is_older_or_the_same(self):
        """Protects `version__lt` in catalog.py."""
        copy(2, 1300)
        copy(1, 1250)
        copy(2, 1)

        assert CatalogItem.objects.get().price_cents == 1300
