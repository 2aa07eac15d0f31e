"""Amounts: texts in yuan with two decimals on the wire, integer cents everywhere else; never a float."""

from __future__ import annotations

import re

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,8})\.([0-9]{2})")


def to_text(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def from_text(text: str) -> int:
    """Cents of `12.34`; one way to write each amount, so `12.3`, `012.30` and `1e1` are refused.

    Raises: ValueError: the text is not such an amount, or is zero.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:32]!r} is no amount like 12.34")
    cents = int(match[1]) * 100 + int(match[2])
    if cents == 0:
        raise ValueError("the amount is zero")
    return cents
