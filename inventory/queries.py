"""What can be asked about articles. Nothing here writes or locks."""

from __future__ import annotations

from inventory.models import Sku

PRODUCT_COUNT_MAX = 200


def products(*, after: str, limit: int) -> list[Sku]:
    """What is on sale, in SKU order from behind `after`, each with its stock record."""
    on_sale = Sku.objects.filter(on_sale=True, sku__gt=after)
    return list(on_sale.select_related("stock").order_by("sku")[:limit])


def known_skus() -> set[str]:
    return set(Sku.objects.values_list("sku", flat=True))
