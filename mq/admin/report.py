"""What a command answers, and its three faces: tables for people, plain columns for pipes, one JSON object.

A report is a list of parts. Column titles are mqadmin's; in JSON `#Broker Name` becomes `brokerName`, a table's rows
are a list under the table's name, and fields and texts stand beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text as RichText

#: Wider than any row: what goes to a file or another program is never cut or folded.
_PLAIN_WIDTH = 100_000


@dataclass(frozen=True)
class Table:
    """Rows under mqadmin's titles; numbers stand on the right."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    name: str = "rows"

    def data(self) -> dict[str, Any]:
        keys = [json_key(column) for column in self.columns]
        return {self.name: [dict(zip(keys, row, strict=True)) for row in self.rows]}

    def print(self, console: Console) -> None:
        is_plain = not console.is_terminal
        table = RichTable(box=None if is_plain else box.SIMPLE_HEAD, pad_edge=not is_plain, padding=(0, 2, 0, 0))
        for index, column in enumerate(self.columns):
            is_number = bool(self.rows) and all(isinstance(row[index], int | float) for row in self.rows)
            justify = "right" if is_number else "left"
            table.add_column(RichText(column), justify=justify, no_wrap=is_plain, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*(RichText(text_of(cell)) for cell in row))
        console.print(table)


@dataclass(frozen=True)
class Fields:
    """Names and values; with a title, they are one object under it, with the names as they are."""

    values: Mapping[str, Any]
    title: str = ""

    def data(self) -> dict[str, Any]:
        if self.title:
            return {self.title: dict(self.values)}
        return {json_key(name): value for name, value in self.values.items()}

    def print(self, console: Console) -> None:
        if self.title:
            console.print(RichText(f"== {self.title}"))
        width = max(map(len, self.values), default=0)
        for name, value in self.values.items():
            console.print(RichText(f"{name:<{width}}  {text_of(value)}".rstrip()))


@dataclass(frozen=True)
class Text:
    """A sentence; with `data`, what JSON says in its place."""

    text: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        return dict(self.details) or {"message": self.text}

    def print(self, console: Console) -> None:
        console.print(RichText(self.text))


@dataclass(frozen=True)
class Document:
    """Something deep, shown as indented JSON by both faces."""

    value: Mapping[str, Any]

    def data(self) -> dict[str, Any]:
        return dict(self.value)

    def print(self, console: Console) -> None:
        console.print(RichText(json.dumps(self.value, indent=2, ensure_ascii=False, default=str)))


Part = Table | Fields | Text | Document
Report = Sequence[Part] | Part


def show(report: Report, out: TextIO, *, as_json: bool) -> None:
    parts = report if isinstance(report, Sequence) else (report,)
    if as_json:
        print(json.dumps(_merged(parts), ensure_ascii=False, default=str), file=out, flush=True)
        return
    console = Console(file=out, highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        for part in parts:
            part.print(console)
        return
    plain = Console(file=out, highlight=False, markup=False, emoji=False, width=_PLAIN_WIDTH, soft_wrap=True)
    with plain.capture() as captured:
        for part in parts:
            part.print(plain)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()), file=out, flush=True)


def _merged(parts: Sequence[Part]) -> dict[str, Any]:
    """One object; what occurs twice (messages, tables of one name) becomes a list."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.data().items():
            if key not in merged:
                merged[key] = value
            elif isinstance(merged[key], list):
                merged[key] += value if isinstance(value, list) else [value]
            else:
                merged[key] = [merged[key], value]
    return merged


def json_key(title: str) -> str:
    """`#Broker Name` -> `brokerName`, `Avg RT` -> `avgRt`; a single word only begins with a small letter."""
    words: list[str] = re.findall(r"[\w.$%-]+", title)
    if not words:
        return title
    first, *others = words
    head = first.lower() if first.isupper() else re.sub(r"^[A-Z]+(?=[A-Z][a-z])|^[A-Z]", _lower, first)
    return head + "".join(word.capitalize() if word.isupper() else word[0].upper() + word[1:] for word in others)


def _lower(match: re.Match[str]) -> str:
    return match.group().lower()


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def time_text(epoch_ms: int) -> str:
    """Local time as mqadmin writes it; nothing for a moment that never was."""
    if epoch_ms <= 0:
        return ""
    moment = datetime.fromtimestamp(epoch_ms / 1000).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S},{epoch_ms % 1000:03d}"
