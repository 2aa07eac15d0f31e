"""Effects exactly once, out of messages that arrive at least once.

One transaction inserts the inbox rows, runs the handler and stores what it answers; only then is anything sent. So:
- the process dies before the commit: nothing happened, the message comes again;
- it dies after the commit, before the answers are sent: the message comes again, the row is there, the handler is
  skipped and the stored answers are sent;
- two processes hold the same message at the same moment: the second waits at the unique key until the first has
  committed, and then finds the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from django.db import connections, transaction

from messaging import outgoing, weak
from messaging.deliveries import Delivery
from messaging.models import InboxMessage
from messaging.outgoing import Answer

# Sorted by key: two transactions that insert the same keys wait for each other in one direction only.
_INSERT: Final = """
    INSERT INTO messaging_inboxmessage ("group", key, message_id)
    SELECT %s, key, message_id FROM unnest(%s::text[], %s::text[]) AS given (key, message_id) ORDER BY key
    ON CONFLICT DO NOTHING
    RETURNING key"""
_STORE: Final = """
    UPDATE messaging_inboxmessage AS inbox SET outgoing = answers.outgoing::jsonb
    FROM unnest(%s::text[], %s::text[]) AS answers (key, outgoing)
    WHERE inbox."group" = %s AND inbox.key = answers.key"""
_UNSENT: Final = """
    SELECT key, outgoing::text FROM messaging_inboxmessage
    WHERE "group" = %s AND key = ANY(%s) AND outgoing IS NOT NULL AND sent_at IS NULL"""
_MARK_SENT: Final = """
    UPDATE messaging_inboxmessage SET sent_at = statement_timestamp()
    WHERE "group" = %s AND key = ANY(%s) AND sent_at IS NULL"""


def apply(run: Sequence[Delivery]) -> list[Answer]:
    """Let one consumer's deliveries have their effect and return what is still to be sent for them, in their order.

    What the consumer asks of a third party is asked first, outside of the transaction: it may take its time.

    Raises: whatever the handler raises; none of the deliveries had an effect then.
    """
    consumer = run[0].consumer
    if consumer.weak:
        weak.apply(run)
        return []
    service, group = consumer.service, consumer.group
    keys = [delivery.key for delivery in run]
    assert len(set(keys)) == len(keys), "two of one key in a run: the insert below tells neither of them apart"
    prepared = {delivery.key: consumer.prepare(delivery.event) for delivery in run} if _must_ask(run) else {}
    with transaction.atomic(using=service), connections[service].cursor() as cursor:
        cursor.execute(_INSERT, [group, keys, [delivery.message_id for delivery in run]])
        fresh = {key for (key,) in cursor.fetchall()}
        new = [delivery for delivery in run if delivery.key in fresh]
        events = [delivery.event for delivery in new]
        answers = consumer.handle(events, [prepared.get(delivery.key, ()) for delivery in new]) if new else []
        texts = {delivery.key: outgoing.encode(answer) for delivery, answer in zip(new, answers, strict=True) if answer}
        if texts:
            cursor.execute(_STORE, [list(texts), list(texts.values()), group])
    if len(fresh) < len(keys):
        texts |= _unsent(service, group, [key for key in keys if key not in fresh])
    return [Answer(service, group, key, outgoing.decode(texts[key])) for key in keys if key in texts]


def mark_sent(answers: Iterable[Answer]) -> None:
    """Note that the broker has these answers. Not noting it (a crash) only makes them be sent once more."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for answer in answers:
        by_place.setdefault((answer.service, answer.group), []).append(answer.key)
    for (service, group), keys in by_place.items():
        with connections[service].cursor() as cursor:
            cursor.execute(_MARK_SENT, [group, sorted(keys)])


def _must_ask(run: Sequence[Delivery]) -> bool:
    """Whether there is a third party and anything to ask it: a redelivered message only sends its answers again."""
    consumer = run[0].consumer
    if consumer.before is None:
        return False
    inbox = InboxMessage.objects.using(consumer.service).filter(group=consumer.group)
    return inbox.filter(key__in=[delivery.key for delivery in run]).count() < len(run)


def _unsent(service: str, group: str, keys: list[str]) -> dict[str, str]:
    with connections[service].cursor() as cursor:
        cursor.execute(_UNSENT, [group, keys])
        return dict(cursor.fetchall())
