"""From an expression's characters to its tokens.

Words that mean something and everything else are told apart here; case matters in names of properties only.
Source: RocketMQ SelectorParser.jj, which has no `!=`, no LIKE, no hexadecimal and no octal numbers.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from mq.errors import MQError


class InvalidExpression(MQError):
    """An expression that is no SQL92 as RocketMQ has it, or exceeds a limit; the sentence says where and why."""


class Kind(enum.Enum):
    KEYWORD = "keyword"
    NAME = "name"
    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    SYMBOL = "symbol"
    END = "end"


class Token(NamedTuple):
    """`text` is upper case for keywords, without its quotes for texts; `at` counts characters from 1."""

    kind: Kind
    text: str
    at: int


KEYWORDS: Final = frozenset(
    ("NOT", "AND", "OR", "BETWEEN", "IN", "TRUE", "FALSE", "NULL", "IS", "CONTAINS", "STARTSWITH", "ENDSWITH")
)

_TOKEN: Final = re.compile(
    r"""
    (?P<space> [ \t\n\r\f]+ | --[^\n\r]*[\n\r] | /\*.*?\*/ )
  | (?P<float> [0-9]+\.[0-9]*(?:[eE][+-]?[0-9]+)? | \.[0-9]+(?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ )
  | (?P<integer> 0 | [1-9][0-9]*[lL]? )
  | (?P<text> '(?:[^']|'')*' )
  | (?P<name> [A-Za-z_$][A-Za-z0-9_$]* )
  | (?P<symbol> <> | >= | <= | [=<>(),+-] )
    """,
    re.VERBOSE | re.DOTALL,
)
_HINTS: Final = {"!": "'unequal' is written <>", '"': "texts stand in single quotes", "'": "this text does not end"}


def tokens(expression: str) -> Iterator[Token]:
    """The tokens, then one of kind END.

    Raises: InvalidExpression: a character that begins no token.
    """
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            character = expression[at]
            refuse(at + 1, _HINTS.get(character, f"{character!r} means nothing here"))
        text = match.group()
        if match.lastgroup == "name" and text.upper() in KEYWORDS:
            yield Token(Kind.KEYWORD, text.upper(), at + 1)
        elif match.lastgroup == "text":
            yield Token(Kind.TEXT, text[1:-1].replace("''", "'"), at + 1)
        elif match.lastgroup != "space":
            yield Token(Kind(match.lastgroup), text, at + 1)
        at = match.end()
    yield Token(Kind.END, "the end", at + 1)


def refuse(at: int, reason: str) -> NoReturn:
    raise InvalidExpression(f"character {at}: {reason}")
