"""A compiled expression: does a message with these properties match?"""

from __future__ import annotations

from mq.filter.parser import parse
from mq.filter.properties_view import PropertiesView
from mq.filter.values import NotComparable


class Filter:
    """`expression` compiled, which may take 10 ms: whoever meets the same one often keeps it.

    Raises: InvalidExpression: no SQL92 as RocketMQ has it, or over a limit; the sentence says where and why.
    """

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self._evaluate = parse(expression).evaluate

    def matches(self, properties_text: bytes) -> bool:
        """Whether the expression is true, rather than false, unknown, or with a comparison that cannot be made."""
        try:
            return self._evaluate(PropertiesView(properties_text)) is True
        except NotComparable:
            return False
