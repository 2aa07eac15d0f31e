"""SQL92 expressions about a message's properties: text in, a compiled `Filter` out; no input or output."""

from mq.filter.sql92 import Filter, compile_sql92
from mq.filter.tokens import InvalidExpression

__all__ = ["Filter", "InvalidExpression", "compile_sql92"]
