r"""Golden scripts: lines of expressions, each with what it gives for the message named above it.

`message name=value ...` (`\s` is a space) changes the message. A line is `RESULT  EXPRESSION`: true, false, unknown,
error (a comparison that cannot be made) or refused, with the sentence below it. The words are RocketMQ's as well:
`tests/interop/test_filter.py` has its parser judge them. `UPDATE_SCRIPTS=1 pytest mq/filter` writes the results anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mq.filter import InvalidExpression
from mq.filter.parser import parse
from mq.filter.properties_view import PropertiesView
from mq.filter.values import NotComparable
from mq.message import properties

FOLDER: Final = Path(__file__).parent / "scripts"
_RESULT: Final = re.compile(r"(true|false|unknown|error|refused) {2,}(.*)", re.DOTALL)
_WORDS: Final = {True: "true", False: "false", None: "unknown"}


class Case(NamedTuple):
    message: dict[str, str]
    expression: str
    result: str


def result_of(expression: str, message: dict[str, str]) -> str:
    """One of the five words, and the sentence of a refusal on a line of its own."""
    try:
        value = parse(expression).evaluate(PropertiesView(properties.encode(message)))
    except InvalidExpression as error:
        return f"refused\n{error}"
    except NotComparable:
        return "error"
    assert value is None or isinstance(value, bool)
    return _WORDS[value]


def cases(script: Path) -> Iterator[Case]:
    """What a script states."""
    message: dict[str, str] = {}
    for line in script.read_text().split("\n"):
        if line.startswith("message "):
            message = _message(line)
        elif match := _RESULT.fullmatch(line):
            yield Case(message, match[2], match[1])


def run(script: Path) -> tuple[str, str]:
    """A script's text as it is and as it would be with the results found."""
    text = script.read_text()
    message: dict[str, str] = {}
    found = []
    for line in text.split("\n"):
        if line.startswith("message "):
            message = _message(line)
        if line.startswith(("#", "message ", "         character ")) or not line:
            if not line.startswith(" "):
                found.append(line)
            continue
        match = _RESULT.fullmatch(line)
        expression = match[2] if match else line
        word, _, sentence = result_of(expression, message).partition("\n")
        found.append(f"{word:<9}{expression}")
        if sentence:
            found.append(f"         {sentence}")
    if os.environ.get("UPDATE_SCRIPTS"):
        script.write_text("\n".join(found))
    return text, "\n".join(found)


def _message(line: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in line.split()[1:]]
    return {name: value.replace("\\s", " ") for name, _, value in pairs if value}
