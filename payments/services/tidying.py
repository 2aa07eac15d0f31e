"""What is kept for a while only: how callbacks came, long after anybody asks about a payment."""

from __future__ import annotations

from datetime import datetime, timedelta

from common import sql
from payments.models import CallbackLog, NoticeSeen, RefusedCallbacks

#: The gateway repeats a callback for about a day; a person may ask about one for much longer.
LOG_LIFETIME = timedelta(days=90)
#: Both gateways repeat a callback for about 25 hours.
NOTICE_LIFETIME = timedelta(days=7)


def forget_old_callbacks(*, now: datetime) -> int:
    """Delete what was logged before `LOG_LIFETIME`, and ids that nobody repeats; how many rows there were."""
    before = now - LOG_LIFETIME
    log = CallbackLog.objects.filter(received_at__lt=before)
    counts = RefusedCallbacks.objects.filter(minute__lt=before)
    seen = NoticeSeen.objects.filter(recorded_at__lt=now - NOTICE_LIFETIME)
    return sql.delete_in_batches(log) + sql.delete_in_batches(counts) + sql.delete_in_batches(seen)
