"""What is kept for a while only: answers to keys that no client repeats any more."""

from __future__ import annotations

from datetime import datetime

from common import sql
from common.idempotency import ANSWER_LIFETIME
from coupons.models import GrabAnswer


def forget_old_answers(*, now: datetime) -> int:
    """Delete answers older than `ANSWER_LIFETIME`; how many there were."""
    return sql.delete_in_batches(GrabAnswer.objects.filter(answered_at__lt=now - ANSWER_LIFETIME))
