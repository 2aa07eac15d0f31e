"""Times as the gateways write them: in China Standard Time, to the second."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone

ZONE = timezone(timedelta(hours=8))
_FORMAT = "%Y-%m-%d %H:%M:%S"


def to_text(moment: datetime) -> str:
    return moment.astimezone(ZONE).strftime(_FORMAT)


def from_text(text: str) -> datetime:
    """Raises: ValueError: no time in this form."""
    return datetime.strptime(text, _FORMAT).replace(tzinfo=ZONE)


def to_rfc3339(moment: datetime) -> str:
    return moment.astimezone(ZONE).replace(microsecond=0).isoformat()


def from_rfc3339(text: str) -> datetime:
    """Raises: ValueError: no time with its zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:32]!r} does not say its zone")
    return moment


def end_of(day: date) -> datetime:
    """The first moment after a day."""
    return datetime.combine(day, time(), ZONE) + timedelta(days=1)
