"""The values of an expression, and comparing them as Java does.

Properties are texts. Beside a number a text is read as a number of the same kind, beside TRUE or FALSE as a boolean;
one that cannot be read that way fails the whole expression, and the message does not match.

| Python | Java    | where it comes from                     |
| ------ | ------- | --------------------------------------- |
| None   | null    | a property the message has not, NULL    |
| str    | String  | a property, a text in quotes            |
| int    | Integer | a whole number of up to 32 bits         |
| Long   | Long    | a longer one, of up to 64               |
| float  | Double  | a number with a point or an exponent    |
| bool   | Boolean | TRUE, FALSE, a comparison               |

Source: RocketMQ ComparisonExpression.__compare; Java Integer.valueOf, Double.valueOf, Double.compareTo.
"""

from __future__ import annotations

import math
import re
from typing import Final


class Long(int):
    """A whole number for which 32 bits were not enough: it is compared as 64-bit number."""


Value = bool | int | float | str | None


class NotComparable(Exception):
    """RocketMQ's evaluation throws here."""


_BITS: Final[dict[type, int]] = {int: 31, Long: 63}
_INTEGER: Final = re.compile(r"[+-]?\d+")
_DOUBLE: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?", re.ASCII)
_HEX_DOUBLE: Final = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?")
_UNUSUAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: A longer text is no number, as reading it takes time; the longest that `Double.toString` writes has 24 characters.
_MAX_NUMBER_LENGTH: Final = 128
_JAVA_SPACE: Final = "".join(map(chr, range(33)))


def number(text: str, kind: type[int] | type[float]) -> int | float:
    """A text read as Java reads a number of that kind.

    Raises: NotComparable: it is none.
    """
    if len(text) <= _MAX_NUMBER_LENGTH:
        if kind is float:
            return _double(text.strip(_JAVA_SPACE))
        if _INTEGER.fullmatch(text):
            found = int(text)
            limit = 1 << _BITS[kind]
            if -limit <= found < limit:
                return found
    raise NotComparable(f"{text[:40]!r} is no {'number' if kind is float else 'whole number'}")


def _double(text: str) -> float:
    if _DOUBLE.fullmatch(text):
        return float(text.rstrip("fFdD"))
    sign, _, word = text.rpartition("+")
    if not sign and word in _UNUSUAL and text != "+-Infinity":
        return _UNUSUAL[word]
    if _HEX_DOUBLE.fullmatch(text):
        return _hex_double(text)
    raise NotComparable(f"{text[:40]!r} is no number")


def _hex_double(text: str) -> float:
    try:
        return float.fromhex(text.rstrip("fFdD"))
    except OverflowError:
        return -math.inf if text.startswith("-") else math.inf


def compare(left: bool | int | float | str, right: bool | int | float | str) -> int:
    """Below 0, 0 or above, as `left` is smaller, equal or greater; -1 as well when the two have nothing in common.

    Raises: NotComparable: a text that is not what stands on the other side, or TRUE and FALSE left of a text.
    """
    left_kind, right_kind = type(left), type(right)
    if left_kind is not right_kind:
        if left_kind is bool:
            if right_kind is str:
                raise NotComparable("a boolean cannot stand left of a text")
            return -1
        if right_kind is bool:
            if not isinstance(left, str):
                return -1
            left = left.lower() == "true"
        elif isinstance(left, str):
            left = number(left, right_kind)  # type: ignore[arg-type]
        elif isinstance(right, str):
            right = number(right, left_kind)  # type: ignore[arg-type]
        elif float in (left_kind, right_kind):
            left, right = float(left), float(right)
    if isinstance(left, float):
        return _compare_doubles(left, right)  # type: ignore[arg-type]
    return (left > right) - (left < right)  # type: ignore[operator]


def _compare_doubles(left: float, right: float) -> int:
    """Java's order: -0.0 before 0.0, and NaN, equal to itself, behind everything."""
    if left < right:
        return -1
    if left > right:
        return 1
    if left == right and left != 0.0:
        return 0
    left_rank, right_rank = _rank(left), _rank(right)
    return (left_rank > right_rank) - (left_rank < right_rank)


def _rank(value: float) -> float:
    return 2.0 if math.isnan(value) else math.copysign(1.0, value)
