"""What was measured so far, in a JSON file that is written after every row: a run that was cut off can be continued."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.machine import Environment


@dataclass
class Result:
    """One row: the counted rounds of each side in their order, or why there are none."""

    environment: Environment
    sides: dict[str, list[Figures]] = field(default_factory=dict)
    failure: str | None = None

    def add(self, side: str, figures: Figures) -> None:
        self.sides.setdefault(side, []).append(figures)


class Results:
    """By the names of rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Result] = {}
        if path.exists():
            stored = json.loads(path.read_text())
            self.rows = {name: Result(**result) for name, result in stored.items()}

    def is_measured(self, row: str) -> bool:
        return row in self.rows and self.rows[row].failure is None

    def put(self, row: str, result: Result) -> None:
        self.rows[row] = result
        text = json.dumps({name: asdict(one) for name, one in self.rows.items()}, indent=1)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".new")
        unfinished.write_text(text)
        os.replace(unfinished, self._path)
