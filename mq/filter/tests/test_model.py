"""Random expressions against a second evaluator, which knows nothing of closures, tokens or property texts."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mq.filter.tests.golden import result_of

NAMES = ("a", "b", "TAGS", "missing")
TEXTS = ("5", "-3", "1.75", "3000000000", "abc", "it's", "true", "FALSE", "5.0", "99999999999999999999")
NUMBERS = ("5", "0", "7", "1.75", "5.0", "3000000000", ".5", "2e3")

properties = st.dictionaries(st.sampled_from(NAMES[:3]), st.sampled_from(TEXTS))
operands = st.one_of(
    st.tuples(st.just("property"), st.sampled_from(NAMES)), st.tuples(st.just("number"), st.sampled_from(NUMBERS))
)
texts = st.sampled_from(TEXTS)


def deeper(conditions: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(st.just("not"), conditions),
        st.tuples(st.just("null"), conditions, st.booleans()),
        st.tuples(st.sampled_from(["and", "or"]), st.lists(conditions, min_size=2, max_size=4)),
    )


conditions = st.recursive(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(["<", "<=", ">", ">="]), operands, operands),
        st.tuples(st.just("equal"), st.booleans(), operands, operands),
        st.tuples(st.just("text"), st.sampled_from(NAMES), texts),
        st.tuples(st.just("in"), st.booleans(), st.sampled_from(NAMES), st.lists(texts, min_size=1, max_size=7)),
        st.tuples(st.just("search"), st.booleans(), st.sampled_from(["CONTAINS", "STARTSWITH", "ENDSWITH"]),
                  st.sampled_from(NAMES), texts),
        st.tuples(st.just("null"), operands, st.booleans()),
        st.tuples(st.just("truth"), st.sampled_from([True, False, None])),
    ),
    deeper,
    max_leaves=12,
)  # fmt: skip


class Failed(Exception):
    pass


@settings(max_examples=100, deadline=None)
@given(conditions, properties)
@example(("or", [("order", ">", ("property", "a"), ("number", "1")), ("truth", True)]), {"a": "1.75"})
def test_every_expression_gives_what_the_model_says(condition, message):
    try:
        expected = {True: "true", False: "false", None: "unknown"}[model(condition, message)]
    except Failed:
        expected = "error"

    assert result_of(written(condition), message) == expected


# ---- the text of a condition


def written(node: Any) -> str:
    match node:
        case "property" | "number", text:
            return str(text)
        case "order", symbol, left, right:
            return f"{written(left)} {symbol} {written(right)}"
        case "equal", is_not, left, right:
            return f"{written(left)} {'<>' if is_not else '='} {written(right)}"
        case "text", name, text:
            return f"{name} = {quoted(text)}"
        case "in", is_not, name, wanted:
            return f"{name} {'NOT ' if is_not else ''}IN ({', '.join(map(quoted, wanted))})"
        case "search", is_not, word, name, text:
            return f"{name} {'not ' if is_not else ''}{word} {quoted(text)}"
        case "null", inner, is_not:
            return f"({written(inner)}) IS {'NOT ' if is_not else ''}NULL"
        case "truth", value:
            return "NULL" if value is None else str(value)
        case "not", inner:
            return f"NOT ({written(inner)})"
        case word, parts:
            return f" {word} ".join(f"({written(part)})" for part in parts)
    raise AssertionError(node)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# ---- its meaning


def model(node: Any, message: dict[str, str]) -> bool | None:
    match node:
        case "order", symbol, left, right:
            one, other = message.get(left[1]) if left[0] == "property" else left, right
            other = message.get(right[1]) if right[0] == "property" else right
            if one is None or other is None:
                return None
            sign = difference(one, other, as_double=True)
            return {"<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[symbol]
        case "equal", is_not, left, right:
            one = message.get(left[1]) if left[0] == "property" else left
            other = message.get(right[1]) if right[0] == "property" else right
            if one is None or other is None:
                same = True if one is other else None if one is None else False
            else:
                same = one == other if isinstance(one, str) and isinstance(other, str) else not difference(one, other)
            return None if same is None else same is not is_not
        case "text", name, text:
            return None if name not in message else bool(message[name] == text)
        case "in", is_not, name, wanted:
            return None if name not in message else (message[name] in wanted) is not is_not
        case "search", is_not, word, name, text:
            if name not in message:
                return False
            pattern = {"CONTAINS": ".*{}.*", "STARTSWITH": "{}.*", "ENDSWITH": ".*{}"}[word].format(re.escape(text))
            return bool(re.fullmatch(pattern, message[name])) is not is_not
        case "null", ("property", name), is_not:
            return (name in message) is is_not
        case "null", ("number", _), is_not:
            return bool(is_not)
        case "null", inner, is_not:
            return (model(inner, message) is None) is not is_not
        case "truth", value:
            return None if value is None else bool(value)
        case "not", inner:
            value = model(inner, message)
            return None if value is None else not value
        case word, parts:
            decisive = word == "or"
            values = []
            for part in parts:
                values.append(model(part, message))
                if values[-1] is decisive:
                    return decisive
            return None if None in values else not decisive
    raise AssertionError(node)


def difference(one: Any, other: Any, *, as_double: bool = False) -> Fraction:
    """`one` minus `other`, exactly; a property is read as what stands beside it."""
    kinds = {kind(value[1]) for value in (one, other) if not isinstance(value, str)}
    wanted = max(kinds, default=64)
    read = [exact(value, wanted) if isinstance(value, str) else Fraction(float(value[1])) for value in (one, other)]
    return read[0] - read[1]


def kind(number: str) -> int:
    """31 bits, 63 bits, or 64 for a double."""
    return 64 if re.search(r"[.e]", number) else 31 if int(number) < 2**31 else 63


def exact(text: str, wanted: int) -> Fraction:
    if not re.fullmatch(r"-?\d+" if wanted < 64 else r"-?\d+(\.\d+)?", text):
        raise Failed(text)
    value = Fraction(text)
    if wanted < 64 and not -(2**wanted) <= value < 2**wanted:
        raise Failed(text)
    return Fraction(float(value))
