"""A compiled expression: does a message with these properties match?"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from mq.filter.parser import parse
from mq.filter.properties_view import PropertiesView
from mq.filter.values import NotComparable

#: Compiled expressions that are kept: clients that send theirs with every pull should not have it read every time.
_CACHE_SIZE: Final = 256


class Filter:
    """`expression` compiled; the same text gives the same filter."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._evaluate = parse(expression).evaluate

    def matches(self, properties_text: bytes) -> bool:
        """Whether the expression is true, rather than false, unknown, or with a comparison that cannot be made."""
        try:
            return self._evaluate(PropertiesView(properties_text)) is True
        except NotComparable:
            return False


@lru_cache(maxsize=_CACHE_SIZE)
def compile_sql92(expression: str) -> Filter:
    """Raises: InvalidExpression: no SQL92 as RocketMQ has it, or over a limit; the sentence says where and why."""
    return Filter(expression)
