"""What a check found: damage with file and offset, notes, and a line of numbers for each kind of file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

#: Findings kept of one kind of file; more are counted. A log full of holes must not fill the memory.
MAX_FINDINGS: Final = 100


@dataclass(frozen=True)
class Finding:
    """Units: `offset` in bytes from the file's start; None: the file as a whole."""

    path: Path
    offset: int | None
    what: str


@dataclass
class Part:
    """One kind of file. `items` counts what the files are made of: records, entries, slots, members."""

    name: str
    file_count: int = 0
    items: int = 0
    damage: list[Finding] = field(default_factory=list)
    damage_count: int = 0
    notes: list[str] = field(default_factory=list)

    def add_damage(self, path: Path, offset: int | None, what: str) -> None:
        self.damage_count += 1
        if len(self.damage) < MAX_FINDINGS:
            self.damage.append(Finding(path, offset, what))

    def add_note(self, sentence: str) -> None:
        if len(self.notes) < MAX_FINDINGS:
            self.notes.append(sentence)


@dataclass
class Report:
    root: Path
    parts: list[Part] = field(default_factory=list)

    @property
    def damage_count(self) -> int:
        return sum(part.damage_count for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "store": str(self.root),
            "damageCount": self.damage_count,
            "parts": [
                {
                    "name": part.name,
                    "files": part.file_count,
                    "items": part.items,
                    "damage": [
                        {"file": str(found.path), "offset": found.offset, "what": found.what} for found in part.damage
                    ],
                    "damageCount": part.damage_count,
                    "notes": part.notes,
                }
                for part in self.parts
            ],
        }
