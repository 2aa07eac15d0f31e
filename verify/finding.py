"""What a check is, and what it finds: the numbers it compared, and whatever does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

#: A report names this many; the count is always the true one.
_BREAKS_NAMED_MAX = 10


class Status(StrEnum):
    HOLDS = "HOLDS"
    BROKEN = "BROKEN"
    #: A database, the broker or the payment company did not answer, so nobody knows.
    UNREACHABLE = "UNREACHABLE"


@dataclass
class Comparison:
    """The work of one check as it goes on."""

    numbers: dict[str, int] = field(default_factory=dict)
    breaks: list[str] = field(default_factory=list)
    break_count: int = 0

    def count(self, name: str, by: int = 1) -> None:
        self.numbers[name] = self.numbers.get(name, 0) + by

    def require(self, holds: bool, otherwise: str) -> None:
        """Note a break, unless it holds."""
        if not holds:
            self.break_count += 1
            if len(self.breaks) < _BREAKS_NAMED_MAX:
                self.breaks.append(otherwise)


@dataclass(frozen=True)
class Check:
    """One invariant: its name in docs, the sentence that must be true, and how to find out."""

    name: str
    sentence: str
    run: Callable[[], Comparison]


@dataclass(frozen=True)
class Finding:
    name: str
    sentence: str
    status: Status
    numbers: dict[str, int]
    breaks: list[str]
    break_count: int


def exit_code(findings: Iterable[Finding]) -> int:
    """0: all hold; 1: something is broken; 3: nothing is known to be broken, but a part did not answer."""
    statuses = {finding.status for finding in findings}
    if Status.BROKEN in statuses:
        return 1
    return 3 if Status.UNREACHABLE in statuses else 0
