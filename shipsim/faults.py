"""Faults on demand: what third parties do on bad days, switched on for a number of requests.

POST /faults {"party": "carrier", "kind": "unavailable", "count": 20}; DELETE /faults disarms everything.
    unavailable  nothing is done, the answer is 503
    lost_answer  it is done, the answer is 503: whoever asks again is answered twice
    slow         it is done, and answered `argument` milliseconds later
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

PARTIES: Final = frozenset({"warehouse", "carrier"})
KINDS: Final = frozenset({"unavailable", "lost_answer", "slow"})
_COUNT_MAX: Final = 10_000
_SLOW_MS_MAX: Final = 60_000


class BadFault(ValueError):
    """The order for a fault makes no sense; the sentence names the field."""


def arm(db: sqlite3.Connection, order: dict[str, Any]) -> None:
    """Raises: BadFault."""
    party, kind = order.get("party"), order.get("kind")
    count, argument = order.get("count", 1), order.get("argument", 0)
    if party not in PARTIES or kind not in KINDS:
        raise BadFault(f"party is one of {sorted(PARTIES)}, kind one of {sorted(KINDS)}")
    if not (isinstance(count, int) and 1 <= count <= _COUNT_MAX):
        raise BadFault(f"count is 1 to {_COUNT_MAX}")
    if not (isinstance(argument, int) and 0 <= argument <= _SLOW_MS_MAX):
        raise BadFault(f"argument is 0 to {_SLOW_MS_MAX}")
    db.execute(
        "INSERT INTO fault (party, kind, left_count, argument) VALUES (?, ?, ?, ?)", (party, kind, count, argument)
    )


def disarm_all(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM fault")


def strike(db: sqlite3.Connection, party: str) -> tuple[str, int] | None:
    """Use up one count of the oldest fault of a party: its kind and argument; None when all is well."""
    row = db.execute("SELECT * FROM fault WHERE party = ? ORDER BY fault_id LIMIT 1", (party,)).fetchone()
    if row is None:
        return None
    db.execute("UPDATE fault SET left_count = left_count - 1 WHERE fault_id = ?", (row["fault_id"],))
    db.execute("DELETE FROM fault WHERE left_count = 0")
    return row["kind"], row["argument"]
