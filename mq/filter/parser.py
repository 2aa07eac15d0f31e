"""Recursive descent over an expression: a method per rule of the grammar, each giving a `Node`.

```
or          = and { OR and }
and         = equality { AND equality }
equality    = comparison { ("=" | "<>") comparison | IS [NOT] NULL }
comparison  = unary { ("<" | "<=" | ">" | ">=") unary | [NOT] BETWEEN unary AND unary | [NOT] IN "(" text {"," text} ")"
                    | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) text }
unary       = ("+" | "-" | NOT) unary | primary
primary     = text | number | TRUE | FALSE | NULL | property | "(" or ")"
```
NOT therefore binds tighter than a comparison: `NOT a = 1` is `(NOT a) = 1`, as in RocketMQ.
Unlike RocketMQ, which stops reading where an expression could end, we refuse what follows.
Source: RocketMQ SelectorParser.jj.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from mq.filter import nodes
from mq.filter.nodes import Node, WrongOperand
from mq.filter.tokens import InvalidExpression, Kind, Token, refuse, tokens

#: Characters of an expression.
MAX_LENGTH: Final = 8192
#: Parentheses, signs and NOTs around each other, and comparisons compared with each other.
MAX_DEPTH: Final = 32
#: Comparisons in an expression; BETWEEN is two. What they may cost is limited by `properties_view.MAX_WORK`.
MAX_COMPARISONS: Final = 256

_ORDERS: Final = ("<", "<=", ">", ">=")
_SEARCHES: Final = ("CONTAINS", "STARTSWITH", "ENDSWITH")

_CONSTANTS: Final = {"TRUE": nodes.constant(True), "FALSE": nodes.constant(False), "NULL": nodes.constant(None)}
_LEAVES: Final[dict[Kind, Callable[[str], Node]]] = {
    Kind.TEXT: nodes.constant,
    Kind.INTEGER: nodes.whole_number,
    Kind.FLOAT: nodes.floating_number,
    Kind.NAME: nodes.property_named,
    Kind.KEYWORD: _CONSTANTS.__getitem__,
}

Result = TypeVar("Result")


def parse(expression: str) -> Node:
    """The condition that an expression states.

    Raises: InvalidExpression: not in the grammar, an operand that RocketMQ refuses, or over a limit.
    """
    if len(expression) > MAX_LENGTH:
        raise InvalidExpression(f"{len(expression)} characters, {MAX_LENGTH} at most")
    parser = _Parser(expression)
    try:
        return parser.whole()
    except WrongOperand as error:
        refuse(parser.at, str(error))


class _Parser:
    def __init__(self, expression: str) -> None:
        self._tokens = list(tokens(expression))
        self._next = 0
        self._nesting = 0
        self._comparisons = 0

    @property
    def at(self) -> int:
        return self._peek.at

    def whole(self) -> Node:
        node = nodes.condition(self._or())
        if self._peek.kind is not Kind.END:
            refuse(self.at, f"{self._peek.text!r} after the end of the expression")
        return node

    # ---- rules

    def _or(self) -> Node:
        found = [self._and()]
        while self._take("OR"):
            found.append(self._and())
        return found[0] if len(found) == 1 else nodes.any_of(found)

    def _and(self) -> Node:
        found = [self._equality()]
        while self._take("AND"):
            found.append(self._equality())
        return found[0] if len(found) == 1 else nodes.all_of(found)

    def _equality(self) -> Node:
        left = self._comparison()
        while True:
            if self._take("="):
                left = self._count(nodes.equal(left, self._comparison()))
            elif self._take("<>"):
                left = self._count(nodes.negation(nodes.equal(left, self._comparison())))
            elif self._take("IS"):
                is_not = self._take("NOT")
                self._expect("NULL")
                left = self._count(nodes.is_null(left))
                left = nodes.negation(left) if is_not else left
            else:
                return left

    def _comparison(self) -> Node:
        left = self._unary()
        while True:
            symbol = self._take_one_of(_ORDERS)
            if symbol:
                left = self._count(nodes.ordered(symbol, left, self._unary()))
                continue
            is_not = self._take("NOT")
            search = self._take_one_of(_SEARCHES)
            if search:
                left = self._count(nodes.text_search(search, left, self._text(), is_not=is_not))
            elif self._take("BETWEEN"):
                left = self._between(left, is_not=is_not)
            elif self._take("IN"):
                left = self._count(nodes.one_of(left, self._texts(), is_not=is_not))
            elif is_not:
                refuse(self.at, "after this NOT comes BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH")
            else:
                return left

    def _between(self, left: Node, *, is_not: bool) -> Node:
        low = self._unary()
        self._expect("AND")
        high = self._unary()
        return self._count((nodes.not_between if is_not else nodes.between)(left, low, high), 2)

    def _unary(self) -> Node:
        if self._take("+"):
            return self._inside(self._unary)
        if self._take("-"):
            return nodes.minus(self._inside(self._unary))
        if self._take("NOT"):
            return nodes.negation(self._inside(self._unary))
        return self._primary()

    def _primary(self) -> Node:
        token = self._peek
        if self._take("("):
            node = self._inside(self._or)
            self._expect(")")
            return node
        make = _LEAVES.get(token.kind)
        if make is None or (token.kind is Kind.KEYWORD and token.text not in _CONSTANTS):
            refuse(token.at, f"a property, a number or a text is expected, not {token.text!r}")
        self._next += 1
        return make(token.text)

    def _texts(self) -> list[str]:
        self._expect("(")
        found = [self._text()]
        while self._take(","):
            found.append(self._text())
        self._expect(")")
        return found

    def _text(self) -> str:
        token = self._peek
        if token.kind is not Kind.TEXT:
            refuse(token.at, f"a text in single quotes is expected, not {token.text!r}")
        self._next += 1
        return token.text

    # ---- limits

    def _inside(self, rule: Callable[[], Result]) -> Result:
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            refuse(self.at, f"nested deeper than {MAX_DEPTH}")
        found = rule()
        self._nesting -= 1
        return found

    def _count(self, node: Node, comparisons: int = 1) -> Node:
        self._comparisons += comparisons
        if self._comparisons > MAX_COMPARISONS:
            refuse(self.at, f"more than {MAX_COMPARISONS} comparisons")
        if node.depth > 4 * MAX_DEPTH:
            refuse(self.at, f"nested deeper than {MAX_DEPTH}")
        return node

    # ---- tokens

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self, word: str) -> bool:
        """Pass over a keyword or symbol if it is the next."""
        token = self._peek
        if token.text == word and token.kind in (Kind.KEYWORD, Kind.SYMBOL):
            self._next += 1
            return True
        return False

    def _take_one_of(self, words: tuple[str, ...]) -> str:
        return next((word for word in words if self._take(word)), "")

    def _expect(self, word: str) -> None:
        if not self._take(word):
            refuse(self.at, f"{word!r} is expected, not {self._peek.text!r}")
