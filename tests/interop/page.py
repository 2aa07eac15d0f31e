"""The tables of docs/compatibility.md that a run writes: for each judge its cases and the answers of both brokers."""

from __future__ import annotations

import difflib
import fcntl
from collections.abc import Iterator

from tests.interop.judging import Judge, Seen
from tests.interop.maven import PROJECT

PAGE = PROJECT / "docs" / "compatibility.md"
WIDEST = 80


def update(judge: Judge, seen: Seen) -> str:
    """Put what was seen between the judge's two marks; the difference to what stood there, empty if there is none.

    Raises: ValueError: the page has no place for this judge.
    """
    with PAGE.open("r+") as page:
        fcntl.flock(page, fcntl.LOCK_EX)  # another judge's run may write its own table
        old = page.read()
        new = with_table(old, judge, seen)
        if new != old:
            PAGE.write_text(new)
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "in the repository", "seen", n=0))


def shows(judge: Judge, seen: Seen) -> bool:
    """Whether the page tells of just these answers."""
    page = PAGE.read_text()
    return with_table(page, judge, seen) == page


def with_table(page: str, judge: Judge, seen: Seen) -> str:
    """Raises: ValueError: the page has no place for this judge."""
    begin, end = f"<!-- seen by {judge.name} -->\n", "<!-- end -->"
    before, found, rest = page.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"{PAGE.name} lacks the lines {begin.strip()} and {end}")
    return before + begin + "".join(f"{line}\n" for line in table(judge, seen)) + rest[rest.index(end) :]


def table(judge: Judge, seen: Seen) -> Iterator[str]:
    reasons = judge.differences
    yield f"| {judge.name} | bundled broker | Apache RocketMQ 5.3.3 |{' why |' if reasons else ''}"
    yield f"| --- | --- | --- |{' --- |' if reasons else ''}"
    for case, bundled in seen["bundled"].items():
        why = f" {reasons.get(case, '')} |" if reasons else ""
        yield f"| {case} | {short(bundled)} | {short(seen['apache'].get(case, 'not run'))} |{why}"


def short(answer: str) -> str:
    """The beginning, in one line."""
    text = " ".join(answer.split())
    text = text if len(text) <= WIDEST else text[:WIDEST] + "..."
    return text.replace("|", "\\|").replace("<", "&lt;")


def side_by_side(case: str, bundled: str, apache: str) -> str:
    """The lines of two answers that differ."""
    lines = difflib.unified_diff(apache.split("\n"), bundled.split("\n"), "apache", "bundled", lineterm="", n=1)
    return "\n".join([case, *lines])
