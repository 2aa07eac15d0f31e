"""What a person must look at: raised once per subject however often it is found, closed with a name and a reason."""

from __future__ import annotations

import logging
from datetime import datetime

from payments.models import Alarm

_LOG = logging.getLogger(__name__)
_SENTENCE_LENGTH_MAX = 300


def sound(
    kind: Alarm.Kind, *, channel: str, subject: str, sentence: str, now: datetime, order_no: str = ""
) -> Alarm | None:
    """Raise an alarm; None when it stands already, or a person has dealt with it."""
    alarm, is_new = Alarm.objects.get_or_create(
        kind=kind,
        channel=channel,
        subject=subject[:64],
        defaults={"order_no": order_no[:64], "sentence": sentence[:_SENTENCE_LENGTH_MAX], "raised_at": now},
    )
    if not is_new:
        return None
    _LOG.error("%s %s of %s: %s", kind, subject, channel, sentence)
    return alarm


def settle_by_itself(kind: Alarm.Kind, *, channel: str, subject: str, now: datetime) -> None:
    """What the alarm was about came out well after all."""
    standing = Alarm.objects.filter(kind=kind, channel=channel, subject=subject, resolved_at=None)
    standing.update(resolved_at=now, resolution="came out well by itself")


def resolve(alarm_id: int, *, by: str, why: str, now: datetime) -> bool:
    """A person dealt with it; whether there was such an alarm to resolve."""
    standing = Alarm.objects.filter(pk=alarm_id, resolved_at=None)
    return bool(standing.update(resolved_at=now, resolved_by=by[:64], resolution=why[:_SENTENCE_LENGTH_MAX]))
