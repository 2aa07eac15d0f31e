"""Money is integer cents (fen) everywhere; only the texts people and gateways read have a decimal point. No floats."""

from __future__ import annotations

import re
from collections.abc import Sequence

CURRENCY = "CNY"
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,10})\.([0-9]{2})", re.ASCII)


class BadAmount(ValueError):
    """A text that is no amount of money such as `12.34`."""


def to_text(cents: int) -> str:
    """Yuan with exactly two decimals: 1234 is `12.34`."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def from_text(text: str) -> int:
    """The cents of `12.34`. Every amount has one spelling: `1.0`, `1e0`, `01.00` and `+1.00` are refused.

    Raises: BadAmount: the text is spelled in any other way.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise BadAmount(f"{text[:32]!r} is no amount such as 12.34")
    return int(match[1]) * 100 + int(match[2])


def split(cents: int, weights: Sequence[int]) -> list[int]:
    """Divide `cents` in proportion to the weights, to the cent: the shares add up exactly, and none is negative.

    Each share is the exact one rounded down, or a cent more: the cents that are left go to those that lost most by the
    rounding, earlier ones first (Hamilton's method). So no share exceeds its weight unless `cents` exceeds their sum.
    """
    total = sum(weights)
    assert min([cents, *weights]) >= 0, (cents, weights)
    assert total > 0 or cents == 0, f"{cents} cents, and nothing to divide them by"
    if not total:
        return [0] * len(weights)
    shares, rests = zip(*(divmod(cents * weight, total) for weight in weights), strict=True)
    left = cents - sum(shares)
    lost_most = sorted(range(len(weights)), key=lambda place: -rests[place])[:left]
    return [share + (place in lost_most) for place, share in enumerate(shares)]
