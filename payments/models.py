"""What payments remembers: one payment per order, every capture and refund of it, and every callback that came.

Money is integer cents. The sums are guarded by the database itself: a trade number is recorded once, at most one
capture counts for the order, and what is reserved for refunds of a capture never exceeds it.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class InvalidTransition(Exception):
    """A bug: a payment was to go where `TRANSITIONS` does not lead."""


class Payment(models.Model):
    """The price of one order, from confirmed to captured or closed."""

    class Status(models.TextChoices):
        PENDING = "PENDING"
        #: The gateway is asked to close the trade; a success that comes meanwhile still counts.
        CLOSING = "CLOSING"
        SUCCEEDED = "SUCCEEDED"
        CLOSED = "CLOSED"

    TRANSITIONS: ClassVar[dict[str, frozenset[str]]] = {
        Status.PENDING: frozenset({Status.CLOSING, Status.SUCCEEDED}),
        Status.CLOSING: frozenset({Status.CLOSED, Status.SUCCEEDED}),
        Status.SUCCEEDED: frozenset(),
        Status.CLOSED: frozenset(),
    }

    order_no = models.CharField(max_length=32, unique=True)
    payment_no = models.CharField(max_length=32, unique=True)
    buyer_id = models.BigIntegerField()
    amount_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    #: The newest version of the order that payments heard of; events carry it back.
    order_version = models.IntegerField()
    #: Until when the cashier may be opened.
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "CLOSING", "SUCCEEDED", "CLOSED"]), name="payment_status_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.payment_no} {self.status}"

    @property
    def is_open(self) -> bool:
        return self.status in (self.Status.PENDING, self.Status.CLOSING)

    def settle(self, status: Status, *, now: datetime) -> None:
        """Bring the payment to an end; the caller holds its row lock.

        Raises: InvalidTransition: it has ended otherwise.
        """
        if status not in self.TRANSITIONS[self.status]:
            raise InvalidTransition(f"payment {self.payment_no} cannot go from {self.status} to {status}")
        self.status, self.settled_at = status, now
        self.save(update_fields=["status", "settled_at"])


class Capture(models.Model):
    """Money that arrived at the gateway for an order: one trade."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="captures")
    trade_no = models.CharField(max_length=64, unique=True)
    amount_cents = models.BigIntegerField()
    #: The one that pays the order; any other is given back whole.
    is_for_order = models.BooleanField()
    #: Sum of the refunds of this capture that are pending or done.
    refund_reserved_cents = models.BigIntegerField(default=0)
    paid_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["payment"], condition=Q(is_for_order=True), name="capture_one_for_order"),
            models.CheckConstraint(
                condition=Q(refund_reserved_cents__gte=0) & Q(refund_reserved_cents__lte=F("amount_cents")),
                name="capture_refunds_within_amount",
            ),
        )

    def __str__(self) -> str:
        return f"{self.trade_no} {self.amount_cents}"


class Refund(models.Model):
    """Money on its way back. The row, and with it its number, exists before the gateway is asked."""

    class Status(models.TextChoices):
        PENDING = "PENDING"
        SUCCEEDED = "SUCCEEDED"
        FAILED = "FAILED"

    capture = models.ForeignKey(Capture, on_delete=models.PROTECT, related_name="refunds")
    #: Given by who asks, or derived from the cause (see services.refunding); the gateway's number at every attempt.
    refund_no = models.CharField(max_length=32, unique=True)
    #: Why there is this refund: the number of who asked for it, or payments' own reason (see messages.LATE).
    refund_key = models.CharField(max_length=96)
    amount_cents = models.BigIntegerField()
    reason = models.CharField(max_length=64)
    #: The articles it is for, as the request named them; the rest of the amount is freight or goodwill.
    lines = models.JSONField(default=list)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempt_count = models.IntegerField(default=0)
    failure = models.CharField(max_length=200, default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["capture", "refund_key"], name="refund_once_per_key"),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "SUCCEEDED", "FAILED"]), name="refund_status_known"
            ),
        )

    def __str__(self) -> str:
        return f"{self.refund_no} {self.status}"


class CallbackLog(models.Model):
    """A callback as it came, and what was made of it. Refused ones are kept too: somebody may be trying something."""

    received_at = models.DateTimeField(db_default=Now())
    verdict = models.CharField(max_length=32)
    #: What the callback claimed, believed or not; cut to the column.
    order_no = models.CharField(max_length=64, default="", blank=True)
    trade_no = models.CharField(max_length=64, default="", blank=True)
    notify_id = models.CharField(max_length=64, default="", blank=True)
    #: The first bytes of the body, undecodable ones replaced.
    body = models.TextField()

    class Meta:
        indexes = (
            models.Index(fields=["order_no"], name="callback_by_order"),
            models.Index(fields=["received_at"], name="callback_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.verdict} {self.order_no}"


class RefusedCallbacks(models.Model):
    """How many callbacks of a verdict that anybody can cause came in a minute: the log has only the first of them."""

    minute = models.DateTimeField()
    verdict = models.CharField(max_length=32)
    count = models.PositiveIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["minute", "verdict"], name="refused_callbacks_once"),)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.verdict}: {self.count}"
