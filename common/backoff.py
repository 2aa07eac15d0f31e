"""When to ask a third party again that did not answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

_WAIT_MAX: Final = timedelta(minutes=10)


def retry_at(attempt: int, now: datetime) -> datetime:
    """1, 2, 4, ... seconds, at most ten minutes after the `attempt`-th request (counted from 1) went unanswered."""
    return now + min(timedelta(seconds=2 ** min(attempt - 1, 16)), _WAIT_MAX)
