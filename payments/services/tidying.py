"""What is kept for a while only: how callbacks came, long after anybody asks about a payment."""

from __future__ import annotations

from datetime import datetime, timedelta

from common import sql
from payments.models import CallbackLog, RefusedCallbacks

#: The gateway repeats a callback for about a day; a person may ask about one for much longer.
LOG_LIFETIME = timedelta(days=90)


def forget_old_callbacks(*, now: datetime) -> int:
    """Delete what was logged before `LOG_LIFETIME`; how many rows there were. What was captured is kept elsewhere."""
    before = now - LOG_LIFETIME
    log = CallbackLog.objects.filter(received_at__lt=before)
    counts = RefusedCallbacks.objects.filter(minute__lt=before)
    return sql.delete_in_batches(log) + sql.delete_in_batches(counts)
