"""What payments remembers: payments, captures, refunds, callbacks, statements, and what a person must look at.

Money is integer cents. The sums are guarded by the database itself: a trade number is recorded once, at most one
capture counts for the order, and what is reserved for refunds of a capture never exceeds it.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
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
    #: The channels whose cashier the buyer was sent to: at each of them there may be a trade.
    channels = ArrayField(models.CharField(max_length=16), default=list)
    #: When the gateways are asked next how their trades stand, should no callback tell it; None: there is no need to.
    ask_at = models.DateTimeField(null=True)
    #: When the buyer was last sent to a cashier: the longer ago, the less often the gateways are asked.
    asking_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="payment_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "CLOSING", "SUCCEEDED", "CLOSED"]), name="payment_status_known"
            ),
        )
        indexes = (models.Index(fields=["ask_at"], name="payment_to_ask", condition=Q(ask_at__isnull=False)),)

    def __str__(self) -> str:
        return f"{self.payment_no} {self.status}"

    @property
    def is_open(self) -> bool:
        return self.status in (self.Status.PENDING, self.Status.CLOSING)

    def settle(self, status: Status, *, now: datetime) -> None:
        """Bring the payment to an end; the caller holds its row lock.

        When it succeeded and the buyer had been sent to a second channel, that one's trade is to be closed.

        Raises: InvalidTransition: it has ended otherwise.
        """
        if status not in self.TRANSITIONS[self.status]:
            raise InvalidTransition(f"payment {self.payment_no} cannot go from {self.status} to {status}")
        has_others = status == self.Status.SUCCEEDED and len(self.channels) > 1
        self.status, self.settled_at, self.ask_at = status, now, now if has_others else None
        self.save(update_fields=["status", "settled_at", "ask_at"])


class Capture(models.Model):
    """Money that arrived at the gateway for an order: one trade."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="captures")
    channel = models.CharField(max_length=16, default="alipay")
    trade_no = models.CharField(max_length=64)
    amount_cents = models.BigIntegerField()
    #: The one that pays the order; any other is given back whole.
    is_for_order = models.BooleanField()
    #: Sum of the refunds of this capture that are pending or done.
    refund_reserved_cents = models.BigIntegerField(default=0)
    paid_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["trade_no", "channel"], name="capture_once_per_trade"),
            models.UniqueConstraint(fields=["payment"], condition=Q(is_for_order=True), name="capture_one_for_order"),
            models.CheckConstraint(
                condition=Q(refund_reserved_cents__gte=0) & Q(refund_reserved_cents__lte=F("amount_cents")),
                name="capture_refunds_within_amount",
            ),
        )
        indexes = (models.Index(fields=["channel", "paid_at"], name="capture_by_day"),)

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
    #: When the gateway is asked by the reconciler, should the queue have lost the command that asks; None: settled.
    ask_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)
    #: When the gateway says that the money went: its statement of that day has it.
    refunded_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["capture", "refund_key"], name="refund_once_per_key"),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(
                condition=Q(status__in=["PENDING", "SUCCEEDED", "FAILED"]), name="refund_status_known"
            ),
        )
        indexes = (
            models.Index(fields=["ask_at"], name="refund_to_ask", condition=Q(ask_at__isnull=False)),
            models.Index(fields=["refunded_at"], name="refund_by_day"),
        )

    def __str__(self) -> str:
        return f"{self.refund_no} {self.status}"


class CallbackLog(models.Model):
    """A callback as it came, and what was made of it. Refused ones are kept too: somebody may be trying something."""

    received_at = models.DateTimeField(db_default=Now())
    channel = models.CharField(max_length=16, default="alipay")
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


class NoticeSeen(models.Model):
    """The id of a callback that was recorded, and which trade it told of: a repetition is known at the first look.

    Written in the transaction of its effect and kept for a week, longer than any gateway repeats itself. What comes
    again later still meets the unique trade number of its capture.
    """

    channel = models.CharField(max_length=16)
    notify_id = models.CharField(max_length=64)
    trade_no = models.CharField(max_length=64)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["notify_id", "channel"], name="notice_once"),)
        indexes = (models.Index(fields=["recorded_at"], name="notice_by_time"),)

    def __str__(self) -> str:
        return f"{self.channel} {self.notify_id}"


class RefusedCallbacks(models.Model):
    """How many callbacks of a verdict that anybody can cause came in a minute: the log has only the first of them."""

    minute = models.DateTimeField()
    verdict = models.CharField(max_length=32)
    count = models.PositiveIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["minute", "verdict"], name="refused_callbacks_once"),)

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.verdict}: {self.count}"


class Statement(models.Model):
    """A day of a channel that was compared with the gateway's statement, and what came of it."""

    channel = models.CharField(max_length=16)
    #: A day in China.
    day = models.DateField()
    compared_at = models.DateTimeField()
    payment_count = models.IntegerField()
    refund_count = models.IntegerField()
    captured_cents = models.BigIntegerField()
    refunded_cents = models.BigIntegerField()
    #: Lines that we had missed and took over.
    repaired_count = models.IntegerField()
    #: Lines that a person has to explain (see `Alarm`).
    difference_count = models.IntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["channel", "day"], name="statement_once"),)

    def __str__(self) -> str:
        return f"{self.channel} {self.day}"


class Alarm(models.Model):
    """Something about money that no program can make good; it stands until a person has dealt with it."""

    class Kind(models.TextChoices):
        #: The gateway has another amount than the order's price: nothing is delivered for it.
        PAID_AMOUNT_DIFFERS = "PAID_AMOUNT_DIFFERS"
        #: The gateway has money for an order that does not exist.
        PAID_FOR_NOTHING = "PAID_FOR_NOTHING"
        #: We have recorded money that the gateway's statement does not know.
        PAYMENT_NOT_IN_STATEMENT = "PAYMENT_NOT_IN_STATEMENT"
        #: Money went back that we never sent, or that we took for refused.
        REFUND_UNKNOWN = "REFUND_UNKNOWN"
        REFUND_AMOUNT_DIFFERS = "REFUND_AMOUNT_DIFFERS"
        REFUND_NOT_IN_STATEMENT = "REFUND_NOT_IN_STATEMENT"
        #: The gateway has not answered for long, or refuses for good.
        REFUND_WITHOUT_ANSWER = "REFUND_WITHOUT_ANSWER"
        REFUND_REFUSED = "REFUND_REFUSED"

    kind = models.CharField(max_length=32, choices=Kind.choices)
    channel = models.CharField(max_length=16)
    #: The number it is about: of a trade or of a refund.
    subject = models.CharField(max_length=64)
    order_no = models.CharField(max_length=64, blank=True)
    #: What differs, in words.
    sentence = models.CharField(max_length=300)
    raised_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)
    #: Who dealt with it, and how.
    resolved_by = models.CharField(max_length=64, default="", blank=True)
    resolution = models.CharField(max_length=300, default="", blank=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["kind", "channel", "subject"], name="alarm_once"),)
        indexes = (models.Index(fields=["raised_at"], name="alarm_open", condition=Q(resolved_at__isnull=True)),)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class PayLogEntry(models.Model):
    """The pay log: who paid which order with what, once per order. Rows are never changed."""

    order_no = models.CharField(max_length=32, primary_key=True)
    buyer_id = models.BigIntegerField()
    #: Empty when the balance paid alone.
    payment_no = models.CharField(max_length=64, blank=True)
    total_cents = models.BigIntegerField()
    balance_cents = models.BigIntegerField()
    logged_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(balance_cents__range=(0, F("total_cents"))), name="pay_log_amounts"),
        )
        indexes = (models.Index(fields=["buyer_id", "-logged_at"], name="pay_log_of_buyer"),)

    def __str__(self) -> str:
        return f"{self.order_no} {self.total_cents}"
