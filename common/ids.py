"""Public numbers: unguessable, sortable by day, safe to read aloud, in URLs, as sharding keys and at gateways.

Layout: one letter for the kind, the day in UTC as YYMMDD, then 80 random bits as 16 characters of Crockford's base 32,
which has no I, L, O or U: `M261121` `7ZK3QW0F9T2N5XRB`. The day keeps neighbors in time neighbors in the index.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_CHARACTERS = 16
_BITS_PER_CHARACTER = 5
_NUMBER = re.compile(r"[A-Z][0-9]{6}[0-9A-HJKMNP-TV-Z]{16}", re.ASCII)

ADDRESS = "A"
COUPON = "C"
ORDER = "M"
PAYMENT = "P"
REFUND = "R"


def new_number(kind: str, now: datetime) -> str:
    bits = secrets.randbits(_RANDOM_CHARACTERS * _BITS_PER_CHARACTER)
    places = range((_RANDOM_CHARACTERS - 1) * _BITS_PER_CHARACTER, -1, -_BITS_PER_CHARACTER)
    return f"{kind}{now.astimezone(UTC):%y%m%d}" + "".join(_ALPHABET[bits >> place & 31] for place in places)


def is_number(text: str, kind: str) -> bool:
    """Whether `text` could be a number of that kind: what is not need not be looked up."""
    return text.startswith(kind) and _NUMBER.fullmatch(text) is not None
