"""Buyers, and the points they collect."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Q


class User(AbstractBaseUser):
    """Somebody who can log in. Passwords are hashed by Django."""

    username = models.CharField(max_length=64, unique=True)
    is_active = models.BooleanField(default=True)
    joined_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[User]] = models.Manager()

    USERNAME_FIELD = "username"

    def __str__(self) -> str:
        return self.username


class PointsAccount(models.Model):
    """How many points a buyer has: always the sum of the buyer's ledger."""

    buyer_id = models.BigIntegerField(primary_key=True)
    balance = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.buyer_id}: {self.balance}"


class PointsEntry(models.Model):
    """The ledger: points granted for an order, or taken back, once each. Rows are never changed or deleted."""

    class Kind(models.TextChoices):
        GRANTED = "GRANTED"
        REVOKED = "REVOKED"

    order_no = models.CharField(max_length=32)
    buyer_id = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    #: What the balance changes by; negative when taken back.
    points = models.BigIntegerField()
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order_no", "kind"], name="points_once"),
            models.CheckConstraint(
                condition=Q(kind="GRANTED", points__gte=0) | Q(kind="REVOKED", points__lte=0), name="points_sign"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_no} {self.kind} {self.points}"
