"""SQL92 expressions about a message's properties: text in, a compiled `Filter` out; no input or output."""

from mq.filter.sql92 import Filter
from mq.filter.tokens import InvalidExpression

__all__ = ["Filter", "InvalidExpression"]
