"""Templates (the rules), coupons and red packets (each one buyer's), and what became of them.

ISSUED    -> LOCKED     an order that uses it was placed
LOCKED    -> REDEEMED   that order is paid
LOCKED    -> ISSUED     that order ended unpaid
REDEEMED  -> ISSUED     that order was refunded as a whole
ISSUED    -> EXPIRED    its time is over
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from common.claims import Claim
from common.idempotency import StoredAnswer


class CouponTemplate(models.Model):
    """What coupons of one kind take off, for whom, and how many of them there are."""

    class Kind(models.TextChoices):
        THRESHOLD = "THRESHOLD"  #: a fixed sum off, from a threshold on
        PERCENTAGE = "PERCENTAGE"  #: a share off, from a threshold on
        RED_PACKET = "RED_PACKET"  #: a fixed sum off, whatever the order is, on top of a coupon

    template_no = models.CharField(max_length=32, primary_key=True)
    title = models.CharField(max_length=100)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    #: Counted are articles of this category only, or all.
    category = models.CharField(max_length=64, blank=True)
    threshold_cents = models.BigIntegerField(default=0)
    off_cents = models.BigIntegerField(default=0)
    percent_off = models.PositiveSmallIntegerField(default=0)
    #: Of a percentage: at most this; None: no limit.
    off_cents_max = models.BigIntegerField(null=True)
    per_buyer_limit = models.PositiveIntegerField()
    #: How many there are in all, and how many of them nobody has yet.
    stock = models.PositiveIntegerField()
    left = models.PositiveIntegerField()
    #: When buyers may grab it; None: it cannot be grabbed.
    grab_from = models.DateTimeField(null=True)
    grab_until = models.DateTimeField(null=True)
    #: Given for every paid order of at least this total; None: for none.
    reward_from_cents = models.BigIntegerField(null=True)
    valid_for = models.DurationField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(left__lte=F("stock")), name="template_stock"),
            models.CheckConstraint(
                condition=Q(kind="THRESHOLD", off_cents__gt=0, threshold_cents__gt=F("off_cents"))
                | Q(kind="PERCENTAGE", percent_off__range=(1, 99))
                | Q(kind="RED_PACKET", off_cents__gt=0, category=""),
                name="template_rule",
            ),
        ]
        indexes = [
            models.Index(
                fields=["reward_from_cents"], name="template_reward", condition=Q(reward_from_cents__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.template_no}: {self.title}"


class Coupon(models.Model):
    """One buyer's coupon or red packet."""

    class Status(models.TextChoices):
        ISSUED = "ISSUED"
        LOCKED = "LOCKED"
        REDEEMED = "REDEEMED"
        EXPIRED = "EXPIRED"

    coupon_no = models.CharField(max_length=32, primary_key=True)
    template = models.ForeignKey(CouponTemplate, models.PROTECT, db_index=False)
    buyer_id = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ISSUED)
    #: The order that has it locked or redeemed.
    order_no = models.CharField(max_length=32, blank=True, default="")
    #: The paid order that it was given for.
    granted_for = models.CharField(max_length=32, null=True)
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: It was given back after its time, and got some more, which happens once.
    was_extended = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["template", "granted_for"], name="coupon_granted_once"),
            models.CheckConstraint(
                condition=Q(status__in=["ISSUED", "EXPIRED"], order_no="")
                | (Q(status__in=["LOCKED", "REDEEMED"]) & ~Q(order_no="")),
                name="coupon_order",
            ),
        ]
        indexes = [
            models.Index(fields=["buyer_id", "status", "expires_at"], name="coupon_of_buyer"),
            models.Index(fields=["template", "buyer_id"], name="coupon_of_template"),
            models.Index(fields=["order_no"], name="coupon_of_order", condition=~Q(order_no="")),
            models.Index(fields=["expires_at"], name="coupon_expiring", condition=Q(status="ISSUED")),
        ]

    def __str__(self) -> str:
        return f"{self.coupon_no} {self.status}"


class CouponClaim(Claim):
    """Whether an order's placing or its end came first; see common.claims."""


class CouponMovement(models.Model):
    """What orders did to coupons, once each; rows are never changed or deleted."""

    class Kind(models.TextChoices):
        LOCKED = "LOCKED"
        RELEASED = "RELEASED"
        REDEEMED = "REDEEMED"
        RETURNED = "RETURNED"

    coupon = models.ForeignKey(Coupon, models.PROTECT, db_index=False)
    order_no = models.CharField(max_length=32)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    moved_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["coupon", "order_no", "kind"], name="coupon_movement_once")]

    def __str__(self) -> str:
        return f"{self.coupon_id} {self.kind} ({self.order_no})"


class GrabAnswer(StoredAnswer):
    """What grabbing a coupon answered to a buyer's Idempotency-Key."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["buyer_id", "key"], name="grab_answer_once")]
        indexes = [models.Index(fields=["answered_at"], name="grab_answer_age")]
