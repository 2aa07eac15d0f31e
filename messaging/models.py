"""The tables that make effects happen once. They exist in every service's database, next to what they protect."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class InboxMessage(models.Model):
    """A message that had its effect: the row commits with the effect, or not at all.

    `outgoing` are the messages the handler answered with (see messaging.outgoing for the form), stored because they are
    sent after the commit: until `sent_at` is set, whoever gets the message again sends them again.
    """

    group = models.CharField(max_length=120)
    #: Tag and business key of the event, never the message id: the same event may come in several messages.
    key = models.CharField(max_length=255)
    message_id = models.CharField(max_length=64)
    received_at = models.DateTimeField(db_default=Now())
    outgoing = models.JSONField(null=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["group", "key"], name="inbox_once"),)
        indexes = (
            models.Index(
                fields=["received_at"], name="inbox_unsent", condition=Q(outgoing__isnull=False, sent_at__isnull=True)
            ),
            # For tidying: rows lie in the order of their age, and such an index costs their insert next to nothing.
            BrinIndex(fields=["received_at"], name="inbox_age"),
        )

    def __str__(self) -> str:
        return f"{self.group} {self.key}"


class TransactionOutcome(models.Model):
    """How a transactional send was decided, once and for all: whoever inserts the key first decides.

    The request's own transaction inserts COMMITTED with its work; the check-back inserts ROLLED_BACK for a half message
    whose work is long overdue. The unique key makes them exclude each other.
    """

    class State(models.TextChoices):
        COMMITTED = "COMMITTED"
        ROLLED_BACK = "ROLLED_BACK"

    key = models.CharField(max_length=64, primary_key=True)
    state = models.CharField(max_length=16, choices=State.choices)
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (BrinIndex(fields=["decided_at"], name="outcome_age"),)

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class ParkedMessage(models.Model):
    """A message whose handler keeps failing, or that came behind such a one with the same sharding key.

    Parked per sharding key and in order (by `id`), so that one order waits and the others go on.
    """

    group = models.CharField(max_length=120)
    key = models.CharField(max_length=255)
    sharding_key = models.CharField(max_length=255)
    topic = models.CharField(max_length=127)
    tag = models.CharField(max_length=127)
    message_id = models.CharField(max_length=64)
    body = models.BinaryField()
    #: Why, in the words of the exception; for those behind it: which message they wait for.
    reason = models.TextField()
    attempts = models.PositiveIntegerField(default=0)
    parked_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["group", "key"], name="parked_once"),)
        indexes = (models.Index(fields=["group", "sharding_key", "id"], name="parked_in_order"),)

    def __str__(self) -> str:
        return f"{self.group} {self.key}"


class OperatorAction(models.Model):
    """What a person did with parked messages: who, when, why, and how it went. Written before it is done."""

    class Action(models.TextChoices):
        REDRIVE = "REDRIVE"
        DISCARD = "DISCARD"

    action = models.CharField(max_length=16, choices=Action.choices)
    group = models.CharField(max_length=120)
    sharding_key = models.CharField(max_length=255)
    #: The first message that waited there.
    key = models.CharField(max_length=255)
    by = models.CharField(max_length=64)
    why = models.CharField(max_length=300, blank=True)
    done_at = models.DateTimeField(db_default=Now())
    #: Messages that had their effect; None: it was begun, and nobody knows how it ended.
    effect_count = models.IntegerField(null=True)
    #: What was given up, in its own words.
    body = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.action} {self.group} {self.sharding_key} by {self.by}"
