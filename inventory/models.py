"""Articles, how many of them there are, and for whom some are held.

Every unit is in one of three places: available, reserved for an order, or sold. At every moment and per article

    initial + added = available + reserved + sold

holds, and the database itself refuses anything else.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class Sku(models.Model):
    """An article as buyers see it. `version` counts its changes; each is told as `SkuChanged`."""

    sku = models.CharField(max_length=64, primary_key=True)
    title = models.CharField(max_length=200)
    price_cents = models.BigIntegerField()
    on_sale = models.BooleanField(default=True)
    category = models.CharField(max_length=64, blank=True, default="", db_default="")
    weight_grams = models.PositiveIntegerField(default=0, db_default=0)
    #: How many units one buyer may have in orders that live; None: any number.
    per_buyer_limit = models.PositiveIntegerField(null=True)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(price_cents__gt=0), name="sku_price_positive")]

    def __str__(self) -> str:
        return self.sku


class StockRecord(models.Model):
    """How many units of an article are where."""

    sku = models.OneToOneField(Sku, models.PROTECT, primary_key=True, db_column="sku", related_name="stock")
    initial = models.BigIntegerField()
    added = models.BigIntegerField(default=0)
    available = models.BigIntegerField()
    reserved = models.BigIntegerField(default=0)
    sold = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(initial__gte=0, added__gte=0, available__gte=0, reserved__gte=0, sold__gte=0),
                name="stock_never_negative",
            ),
            models.CheckConstraint(
                condition=Q(available=F("initial") + F("added") - F("reserved") - F("sold")), name="stock_adds_up"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku_id}: {self.available} available, {self.reserved} reserved, {self.sold} sold"


class StockClaim(models.Model):
    """An order's one claim on stock: whoever inserts it first, a reservation or a cancellation, decides.

    A cancellation that overtakes the reservation it cancels leaves the claim as a TOMBSTONE, and the reservation that
    comes later does nothing.
    """

    class Origin(models.TextChoices):
        RESERVATION = "RESERVATION"
        TOMBSTONE = "TOMBSTONE"

    order_no = models.CharField(max_length=32, primary_key=True)
    origin = models.CharField(max_length=16, choices=Origin.choices)
    #: What fell short, if the reservation was refused: a list of inventory.messages.Shortage.
    shortages = models.JSONField(null=True)
    claimed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.order_no} {self.origin}"


class Reservation(models.Model):
    """Units of one article held for one order, until they are sold (CONSUMED) or given back (RELEASED)."""

    class State(models.TextChoices):
        HELD = "HELD"
        CONSUMED = "CONSUMED"
        RELEASED = "RELEASED"
        RETURNED = "RETURNED"  #: sold, and all of it back on the shelf after refunds

    order_no = models.CharField(max_length=32)
    sku = models.ForeignKey(Sku, models.PROTECT, db_column="sku", db_index=False)
    quantity = models.PositiveIntegerField()
    #: Of the units sold, those that are back on the shelf.
    returned = models.PositiveIntegerField(db_default=0)
    state = models.CharField(max_length=16, choices=State.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order_no", "sku"], name="reservation_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="reservation_positive"),
            models.CheckConstraint(
                condition=Q(returned=0, state__in=["HELD", "RELEASED"])
                | Q(returned__lt=F("quantity"), state="CONSUMED")
                | Q(returned=F("quantity"), state="RETURNED"),
                name="reservation_returned",
            ),
        ]
        indexes = [models.Index(fields=["sku"], name="reservation_held", condition=Q(state="HELD"))]

    def __str__(self) -> str:
        return f"{self.order_no}: {self.quantity} x {self.sku_id} {self.state}"


class StockMovement(models.Model):
    """The ledger: every change of a stock record, once per order, article, kind and reference; rows stay."""

    class Kind(models.TextChoices):
        INITIAL = "INITIAL"
        ADDED = "ADDED"
        RESERVED = "RESERVED"
        RELEASED = "RELEASED"
        SOLD = "SOLD"
        RETURNED = "RETURNED"

    #: The order's number; of a delivery, the receipt's.
    order_no = models.CharField(max_length=64)
    sku = models.ForeignKey(Sku, models.PROTECT, db_column="sku")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    #: Of a return, the refund's number: an order may be given back in parts.
    reference = models.CharField(max_length=64, blank=True, db_default="")
    quantity = models.PositiveIntegerField()
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order_no", "sku", "kind", "reference"], name="movement_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity} x {self.sku_id} ({self.order_no})"
