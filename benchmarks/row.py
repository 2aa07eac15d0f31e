"""What a row of a table is, and the two contestants that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.figures import Aim, Figures
from benchmarks.pace import Pace


class Contestant(Protocol):
    """What takes its turn in a session."""

    name: str

    def awake(self) -> AbstractContextManager[None]: ...
    def suspend(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Session:
    """Two contestants that take turns: ours, and the one it is compared with."""

    name: str
    sides: Mapping[str, Callable[[Path], AbstractContextManager[Any]]]


@dataclass(frozen=True, eq=False)
class Row:
    """A line of the table. `load` is one round.

    `prepare` happens to each side before the first round; rows of one session with the same one share it.
    """

    name: str
    title: str
    session: Session
    load: Callable[[Any, Pace], Figures]
    #: The figure whose ratio is shown.
    figure: str = "per_second"
    aims: tuple[Aim, ...] = ()
    prepare: Callable[[Any, Pace], None] | None = None
    #: Seconds that a round may take before it counts as hanging.
    limit_s: float = 120.0
    prepare_limit_s: float = 1200.0
