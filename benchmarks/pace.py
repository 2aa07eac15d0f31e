"""How long and how big a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Seconds of a round of a Java class and of ours, counted rounds, and a factor for all sizes."""

    java_s: float = 13.0
    own_s: float = 5.0
    rounds: int = 3
    size: float = 1.0

    def count(self, full: int) -> int:
        return max(1, int(full * self.size))
