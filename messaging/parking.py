"""Parked messages: one order that cannot go on waits at the side, with everything behind it, and the queue goes on.

A message whose handler keeps failing is parked, and so is every later one with its sharding key. The first of each key
is tried again after 1, 2, 4, ... seconds; once it succeeds, those behind it follow in order. After the last automatic
try it waits for a person: `manage.py parked`.

Parking behind and taking out exclude each other by an advisory lock per group and sharding key: without it, a message
could be parked behind one that was taken out that very moment, and nothing would ever take it out again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.db import connections, transaction
from django.db.models.functions import Now

from messaging.deliveries import Delivery
from messaging.models import InboxMessage, ParkedMessage

#: The waits sum up to 8.5 minutes: enough for a third party to come back, short enough for a person to be told.
AUTOMATIC_TRIES: Final = 10
_MAX_REASON_LENGTH: Final = 2000


def waiting(service: str, group: str, sharding_keys: Iterable[str]) -> bool:
    """Whether something is parked under any of these keys; one indexed look-up per transaction of the hot path."""
    parked = ParkedMessage.objects.using(service).filter(group=group, sharding_key__in=set(sharding_keys))
    return parked.exists()


def park(delivery: Delivery, *, reason: str) -> None:
    """Set a failed message aside; its first automatic try is a second away."""
    consumer = delivery.consumer
    with transaction.atomic(using=consumer.service):
        _lock(consumer.service, consumer.group, delivery.sharding_key)
        _insert(delivery, reason=reason, attempts=1, next_attempt_at=_next_attempt(1))


def park_behind(delivery: Delivery) -> bool:
    """Park a message if one with its sharding key is parked, unless it had its effect already; says whether."""
    service, group = delivery.consumer.service, delivery.consumer.group
    with transaction.atomic(using=service):
        _lock(service, group, delivery.sharding_key)
        first = first_of(service, group, delivery.sharding_key)
        if first is None or InboxMessage.objects.using(service).filter(group=group, key=delivery.key).exists():
            return False
        _insert(delivery, reason=f"waits for {first.key}", attempts=0, next_attempt_at=None)
        return True


def due(service: str) -> list[tuple[str, str]]:
    """Group and sharding key of everything whose next automatic try has come, by the database's clock."""
    rows = ParkedMessage.objects.using(service).filter(next_attempt_at__lte=Now())
    return list(rows.order_by("id").values_list("group", "sharding_key"))


def first_of(service: str, group: str, sharding_key: str) -> ParkedMessage | None:
    """The one to try next; those behind it follow only once it is taken out."""
    parked = ParkedMessage.objects.using(service).filter(group=group, sharding_key=sharding_key)
    return parked.order_by("id").first()


def note_failure(parked: ParkedMessage, *, reason: str) -> None:
    """The first of a key failed again: it waits twice as long, or for a person."""
    attempts = parked.attempts + 1
    parked.reason = reason[:_MAX_REASON_LENGTH]
    parked.attempts, parked.next_attempt_at = attempts, _next_attempt(attempts)
    parked.save(using=parked._state.db, update_fields=["reason", "attempts", "next_attempt_at"])


def take_out(service: str, parked: ParkedMessage) -> None:
    """What was parked had its effect and its answers are with the broker (or a person gave it up)."""
    with transaction.atomic(using=service):
        _lock(service, parked.group, parked.sharding_key)
        ParkedMessage.objects.using(service).filter(pk=parked.pk).delete()
        follower = first_of(service, parked.group, parked.sharding_key)
        if follower is not None:  # Whoever took this one out tries it next, and if that fails to happen, anybody.
            ParkedMessage.objects.using(service).filter(pk=follower.pk).update(next_attempt_at=Now())


def _next_attempt(attempts: int) -> Any:
    return Now() + timedelta(seconds=2 ** (attempts - 1)) if attempts < AUTOMATIC_TRIES else None


def _lock(service: str, group: str, sharding_key: str) -> None:
    with connections[service].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{group}/{sharding_key}"])


def _insert(delivery: Delivery, *, reason: str, attempts: int, next_attempt_at: Any) -> None:
    row = ParkedMessage(
        group=delivery.consumer.group,
        key=delivery.key,
        sharding_key=delivery.sharding_key,
        topic=delivery.consumer.topic,
        tag=delivery.tag,
        message_id=delivery.message_id,
        body=delivery.body,
        reason=reason[:_MAX_REASON_LENGTH],
        attempts=attempts,
        next_attempt_at=next_attempt_at,
    )
    # A message that is parked already comes again when it could not be acknowledged: once is enough.
    ParkedMessage.objects.using(delivery.consumer.service).bulk_create([row], ignore_conflicts=True)
