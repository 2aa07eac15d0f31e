"""The parts of an expression as closures: each takes a message's properties and gives a value.

RocketMQ refuses some operands when it reads an expression, by what they are and not by what they would give; a `Node`
remembers that of its closure. Unknown (None) is the third truth value: it is neither true nor false, and NOT leaves it.
Source: RocketMQ ComparisonExpression, LogicExpression, UnaryExpression, ConstantExpression.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mq.filter.properties_view import PropertiesView, marker_of
from mq.filter.values import Long, NotComparable, Value, compare, number

Evaluate = Callable[[PropertiesView], Value]


class Node(NamedTuple):
    evaluate: Evaluate
    #: How many closures call each other, at most.
    depth: int = 1
    is_condition: bool = False
    is_property: bool = False
    is_constant: bool = False
    #: Of a constant.
    value: Value = None


class WrongOperand(Exception):
    """An operand that RocketMQ refuses; the sentence says why."""


# ---- leaves


def constant(value: Value) -> Node:
    return Node(lambda _: value, is_constant=True, value=value, is_condition=value is None or isinstance(value, bool))


def whole_number(text: str) -> Node:
    """Raises: WrongOperand: over 64 bits."""
    value = int(text.rstrip("lL"))
    if value >= 1 << 63:
        raise WrongOperand(f"{text} does not fit into 64 bits")
    return constant(value if value < 1 << 31 else Long(value))


def floating_number(text: str) -> Node:
    """Raises: WrongOperand: a zero or something else that RocketMQ finds too small, or too large."""
    value = float(text)
    if value == float("inf"):
        raise WrongOperand(f"{text} is greater than any double")
    if value == 0.0:
        raise WrongOperand(f"{text} is smaller than the smallest double: a zero is written 0")
    return constant(value)


def property_named(name: str) -> Node:
    return Node(operator.itemgetter(marker_of(name)), is_property=True)


# ---- logic


def condition(node: Node) -> Node:
    """What AND, OR, NOT and the whole expression need. A property alone is false: it is a text, never TRUE.

    Raises: WrongOperand: a number, a text, or something negative.
    """
    if node.is_condition:
        return node
    if not node.is_property:
        raise WrongOperand("a condition is expected, such as a = 1")
    evaluate = node.evaluate
    return Node(lambda view: None if evaluate(view) is None else False, node.depth + 1, is_condition=True)


def any_of(nodes: Sequence[Node]) -> Node:
    parts = [condition(node).evaluate for node in nodes]

    def evaluate(view: PropertiesView) -> Value:
        answer: Value = False
        for part in parts:
            value = part(view)
            if value:
                return True
            if value is None:
                answer = None
        return answer

    return Node(evaluate, 2 + max(node.depth for node in nodes), is_condition=True)


def all_of(nodes: Sequence[Node]) -> Node:
    parts = [condition(node).evaluate for node in nodes]

    def evaluate(view: PropertiesView) -> Value:
        answer: Value = True
        for part in parts:
            value = part(view)
            if value is False:
                return False
            if value is None:
                answer = None
        return answer

    return Node(evaluate, 2 + max(node.depth for node in nodes), is_condition=True)


def negation(node: Node) -> Node:
    """NOT."""
    part = condition(node)
    evaluate = part.evaluate

    def opposite(view: PropertiesView) -> Value:
        value = evaluate(view)
        return None if value is None else not value

    return Node(opposite, part.depth + 1, is_condition=True)


def minus(node: Node) -> Node:
    """A number's opposite; unknown for everything else, properties too."""
    evaluate = node.evaluate

    def opposite(view: PropertiesView) -> Value:
        value = evaluate(view)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return type(value)(-value)
        return None

    return Node(opposite, node.depth + 1)


# ---- comparisons


def equal(left: Node, right: Node) -> Node:
    """Raises: WrongOperand: NULL, or TRUE or FALSE beside another constant that is neither."""
    for node in (left, right):
        if node.is_constant and node.value is None:
            raise WrongOperand("NULL is compared with IS NULL")
    if left.is_constant and right.is_constant and left.is_condition and not right.is_condition:
        raise WrongOperand("TRUE and FALSE are compared with conditions and properties")
    return _equal(left, right)


def is_null(node: Node) -> Node:
    return _equal(node, constant(None))


def _equal(left: Node, right: Node) -> Node:
    left_of, right_of = left.evaluate, right.evaluate

    def evaluate(view: PropertiesView) -> Value:
        one, other = left_of(view), right_of(view)
        if one is None:
            return True if other is None else None
        if other is None:
            return False
        if one.__class__ is str is other.__class__:
            return one == other
        return compare(one, other) == 0

    return Node(evaluate, 1 + max(left.depth, right.depth), is_condition=True)


def ordered(symbol: str, left: Node, right: Node) -> Node:
    """`<`, `<=`, `>`, `>=`; two texts are compared as doubles.

    Raises: WrongOperand: a condition, or a constant that is no number.
    """
    for node in (left, right):
        if node.is_condition or (node.is_constant and not isinstance(node.value, int | float)):
            raise WrongOperand(f"{symbol} compares numbers and properties only")
    holds = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[symbol]
    left_of, right_of = left.evaluate, right.evaluate

    def evaluate(view: PropertiesView) -> Value:
        one = left_of(view)
        if one is None:
            return None
        other = right_of(view)
        if other is None:
            return None
        if isinstance(one, str) and isinstance(other, str):
            one, other = number(one, float), number(other, float)
        return bool(holds(compare(one, other), 0))

    return Node(evaluate, 1 + max(left.depth, right.depth), is_condition=True)


def between(node: Node, low: Node, high: Node) -> Node:
    """Raises: WrongOperand: as `ordered`, or two numbers of which the first is greater."""
    if low.is_constant and high.is_constant:
        if low.value is None or high.value is None:
            raise WrongOperand("BETWEEN does not compare with NULL")
        try:
            is_reversed = compare(high.value, low.value) < 0
        except NotComparable as error:
            raise WrongOperand(str(error)) from None
        if is_reversed:
            raise WrongOperand(f"BETWEEN expects the smaller value first, not {low.value} AND {high.value}")
    return all_of([ordered(">=", node, low), ordered("<=", node, high)])


def not_between(node: Node, low: Node, high: Node) -> Node:
    return any_of([ordered("<", node, low), ordered(">", node, high)])


def one_of(node: Node, texts: Sequence[str], *, is_not: bool) -> Node:
    """IN. Raises: WrongOperand: something else than a property left of it."""
    if not node.is_property:
        raise WrongOperand("left of IN stands a property")
    wanted, evaluate = frozenset(texts), node.evaluate

    def contains(view: PropertiesView) -> Value:
        value = evaluate(view)
        return None if value is None else (value in wanted) is not is_not

    return Node(contains, node.depth + 1, is_condition=True)


#: Looking for a text inside another takes up to four times as long as looking for a property.
_SEARCH_WORK = 4
_SEARCHES: dict[str, Callable[[str, str], bool]] = {
    "CONTAINS": lambda text, search: search in text,
    "STARTSWITH": lambda text, search: text.startswith(search),
    "ENDSWITH": lambda text, search: text.endswith(search),
}


def text_search(name: str, node: Node, search: str, *, is_not: bool) -> Node:
    """CONTAINS, STARTSWITH, ENDSWITH: never unknown, and false, even with NOT, for no text and for an empty search."""
    test = _SEARCHES[name]
    evaluate = node.evaluate

    def found(view: PropertiesView) -> Value:
        if not search:
            return False
        value = evaluate(view)
        if not isinstance(value, str):
            return False
        view.spend(_SEARCH_WORK * len(value))
        return test(value, search) is not is_not

    return Node(found, node.depth + 1, is_condition=True)
