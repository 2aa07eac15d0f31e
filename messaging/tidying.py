"""What is kept for a while only: the memory of messages that cannot come again.

The inbox and the outcomes grow with every message. They are needed as long as a message may be delivered again, or the
broker may ask about it: that is as long as the broker keeps it (3 days, `fileReservedTime`), after a timer of up to 3
days. Thirty days leave room for a broker that keeps more, and for a group that somebody rewinds; an older message that
comes again after all meets the unique keys of what it once did.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import Q
from django.db.models.functions import Now

from common import sql
from messaging.models import InboxMessage, TransactionOutcome

LIFETIME: Final = timedelta(days=30)


def forget_old_messages(service: str) -> int:
    """Delete what is older than `LIFETIME`, by the database's clock as it was written; how many rows there were.

    An answer that was never sent stays: somebody has to see it (`verify` does).
    """
    is_done = Q(outgoing__isnull=True) | Q(sent_at__isnull=False)
    inbox = InboxMessage.objects.using(service).filter(is_done, received_at__lt=Now() - LIFETIME)
    outcomes = TransactionOutcome.objects.using(service).filter(decided_at__lt=Now() - LIFETIME)
    return sql.delete_in_batches(inbox) + sql.delete_in_batches(outcomes)
