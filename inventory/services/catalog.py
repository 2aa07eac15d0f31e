"""Articles and deliveries: born outside the queue, so `SkuChanged` goes out as a half message around the change."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F

from common.errors import NotFound
from inventory.messages import SkuChanged
from inventory.models import Sku, StockMovement, StockRecord
from messaging.transactions import send_in_transaction

#: What an article is to buyers, by the names that `Sku` and `SkuChanged` share.
_FACTS = ("title", "price_cents", "on_sale", "category", "weight_grams", "per_buyer_limit")


def put_sku(
    *,
    sku: str,
    title: str,
    price_cents: int,
    on_sale: bool,
    initial: int,
    now: datetime,
    category: str = "",
    weight_grams: int = 0,
    per_buyer_limit: int | None = None,
) -> bool:
    """Make the article be as given, with `initial` units if it is new; say whether anything changed."""
    known = Sku.objects.filter(sku=sku).first()
    changed = SkuChanged(
        sku=sku,
        version=1 if known is None else known.version + 1,
        title=title,
        price_cents=price_cents,
        on_sale=on_sale,
        category=category,
        weight_grams=weight_grams,
        per_buyer_limit=per_buyer_limit,
    )
    if known is not None and all(getattr(known, fact) == getattr(changed, fact) for fact in _FACTS):
        return False
    work = partial(_create, changed, initial, now) if known is None else partial(_update, changed)
    send_in_transaction(changed, work, using="inventory")
    return True


def _facts(new: SkuChanged) -> dict[str, Any]:
    return {fact: getattr(new, fact) for fact in _FACTS}


def _create(new: SkuChanged, initial: int, now: datetime) -> None:
    Sku.objects.create(sku=new.sku, version=new.version, **_facts(new))
    StockRecord.objects.create(sku_id=new.sku, initial=initial, available=initial)
    StockMovement.objects.create(
        order_no="initial", sku_id=new.sku, kind=StockMovement.Kind.INITIAL, quantity=initial, moved_at=now
    )


def _update(new: SkuChanged) -> None:
    known = Sku.objects.filter(sku=new.sku, version=new.version - 1)
    if known.update(version=new.version, **_facts(new)) != 1:
        raise AssertionError(f"{new.sku} was changed by somebody else at the same moment: try again")


@transaction.atomic(using="inventory")
def receive_delivery(*, sku: str, quantity: int, receipt_no: str, now: datetime) -> bool:
    """Put delivered units on the shelf, once per receipt and article; say whether this call did.

    Raises: NotFound: no such article.
    """
    if not StockRecord.objects.filter(sku=sku).exists():
        raise NotFound(f"There is no article {sku}.")
    _, created = StockMovement.objects.get_or_create(
        order_no=receipt_no,
        sku_id=sku,
        kind=StockMovement.Kind.ADDED,
        defaults={"quantity": quantity, "moved_at": now},
    )
    if created:
        StockRecord.objects.filter(sku=sku).update(added=F("added") + quantity, available=F("available") + quantity)
    return created
