"""Orders' own copy of the catalog: what can be ordered, and at what price, without asking inventory."""

from __future__ import annotations

from typing import Any

from django.db.models import Q

from orders.models import CatalogItem


def copy_sku(*, sku: str, version: int, **facts: Any) -> None:
    """Take over an article's new state (the fields of `CatalogItem`), unless a newer one is known already."""
    values = {"version": version, **facts}
    _, created = CatalogItem.objects.get_or_create(sku=sku, defaults=values)
    if not created:
        CatalogItem.objects.filter(Q(sku=sku), version__lt=version).update(**values)
