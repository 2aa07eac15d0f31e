"""Buyers, where they live, the points they collect, and the money they have with the shop."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import F, Q

from common.claims import Claim
from common.idempotency import StoredAnswer


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
    """How many points a buyer has, and owes: balance - owed is always the sum of the buyer's ledger.

    Who owes has no points: what is taken back beyond the balance is a debt, and what is granted pays it off first.
    """

    buyer_id = models.BigIntegerField(primary_key=True)
    balance = models.BigIntegerField()
    owed = models.BigIntegerField(db_default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0, owed__gte=0), name="points_never_negative"),
            models.CheckConstraint(condition=Q(balance=0) | Q(owed=0), name="points_or_debt"),
        ]

    def __str__(self) -> str:
        return f"{self.buyer_id}: {self.balance}"


class PointsEntry(models.Model):
    """The ledger: points granted for an order, taken back by a refund, or spent, once each. Rows are never changed."""

    class Kind(models.TextChoices):
        GRANTED = "GRANTED"
        REVOKED = "REVOKED"
        SPENT = "SPENT"

    order_no = models.CharField(max_length=32)
    buyer_id = models.BigIntegerField(db_index=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    #: Of what is taken back, the refund's number: an order may be given back in parts.
    reference = models.CharField(max_length=64, blank=True, db_default="")
    #: What balance - owed changes by; negative when taken back or spent.
    points = models.BigIntegerField()
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order_no", "kind", "reference"], name="points_once"),
            models.CheckConstraint(
                condition=Q(kind="GRANTED", points__gte=0) | Q(kind__in=["REVOKED", "SPENT"], points__lte=0),
                name="points_sign",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_no} {self.kind} {self.points}"


class BalanceAccount(models.Model):
    """A buyer's money with the shop: what may be spent, and what is held for orders that are not paid yet."""

    buyer_id = models.BigIntegerField(primary_key=True)
    available_cents = models.BigIntegerField(default=0)
    held_cents = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(available_cents__gte=0, held_cents__gte=0), name="balance_never_negative"
            )
        ]

    def __str__(self) -> str:
        return f"{self.buyer_id}: {self.available_cents} available, {self.held_cents} held"


class BalanceClaim(Claim):
    """Whether an order's placing or its end came first; see common.claims."""


class BalanceHold(models.Model):
    """What of a buyer's balance one order holds, until it is captured or released; and what was given back after."""

    class State(models.TextChoices):
        HELD = "HELD"
        CAPTURED = "CAPTURED"
        RELEASED = "RELEASED"

    order_no = models.CharField(max_length=32, primary_key=True)
    buyer_id = models.BigIntegerField()
    cents = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=State.choices)
    returned_cents = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(cents__gt=0), name="hold_positive"),
            models.CheckConstraint(
                condition=Q(returned_cents=0) | Q(state="CAPTURED", returned_cents__range=(0, F("cents"))),
                name="hold_returned_at_most",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.order_no}: {self.cents} {self.state}"


class BalanceEntry(models.Model):
    """The ledger, by double entry: each movement is two rows that add up to nothing. Rows are never changed."""

    class Kind(models.TextChoices):
        CREDITED = "CREDITED"
        HELD = "HELD"
        CAPTURED = "CAPTURED"
        RELEASED = "RELEASED"
        RETURNED = "RETURNED"

    class Account(models.TextChoices):
        AVAILABLE = "AVAILABLE"  #: the buyer's
        HELD = "HELD"  #: the buyer's
        SHOP = "SHOP"  #: what balances have paid for orders
        FUNDING = "FUNDING"  #: where the money of balances comes from

    #: The order's number; of a refund or a credit, its own.
    reference = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    account = models.CharField(max_length=16, choices=Account.choices)
    buyer_id = models.BigIntegerField()
    #: What the account changes by.
    cents = models.BigIntegerField()
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reference", "kind", "account"], name="balance_entry_once")]
        indexes = [models.Index(fields=["buyer_id", "-id"], name="balance_entry_of_buyer")]

    def __str__(self) -> str:
        return f"{self.reference} {self.kind} {self.account} {self.cents}"


class Address(models.Model):
    """Where a buyer wants things sent. Orders copy it when they are placed, so it may be changed and deleted."""

    address_no = models.CharField(max_length=32, primary_key=True)
    buyer_id = models.BigIntegerField(db_index=True)
    recipient = models.CharField(max_length=64)
    phone = models.CharField(max_length=20)
    #: ISO 3166-2, such as `CN-SH`.
    region = models.CharField(max_length=6)
    city = models.CharField(max_length=64)
    street = models.CharField(max_length=200)
    #: The one that is taken when an order names none.
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["buyer_id"], condition=Q(is_default=True), name="address_one_default")
        ]

    def __str__(self) -> str:
        return f"{self.address_no}: {self.recipient}, {self.city}"


class AddressAnswer(StoredAnswer):
    """What `POST /api/addresses` answered to a buyer's Idempotency-Key."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["buyer_id", "key"], name="address_answer_once")]
        indexes = [models.Index(fields=["answered_at"], name="address_answer_age")]


class PointsDebt(models.Model):
    """Points that were taken back although they were spent: why the buyer owes them. Rows are never changed."""

    refund_no = models.CharField(max_length=64, primary_key=True)
    order_no = models.CharField(max_length=32)
    buyer_id = models.BigIntegerField(db_index=True)
    #: How many of the points taken back were not there.
    points = models.BigIntegerField()
    entered_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(points__gt=0), name="points_debt_positive")]

    def __str__(self) -> str:
        return f"{self.refund_no}: {self.points}"
