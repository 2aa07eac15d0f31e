"""What the warehouse and the carrier do with a request. States are told from the clock, so nothing has to run.

warehouse  PICKING -> PACKED half an hour after the order came; while it picks, a later wish replaces the lines
carrier    IN_TRANSIT -> DELIVERED a day after the parcel was fetched; recalled on the way: RETURNING -> RETURNED
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

PACKING_MS = 30 * 60_000
TRANSIT_MS = 24 * 3_600_000


class Unknown(Exception):
    """There is no such parcel."""


@dataclass(frozen=True)
class Partners:
    packing_ms: int = PACKING_MS
    transit_ms: int = TRANSIT_MS

    def pack(
        self, db: sqlite3.Connection, reference: str, revision: int, lines: list[Any], now_ms: int
    ) -> dict[str, Any]:
        """Pick and pack these lines; a higher revision replaces a lower one until the parcel is closed."""
        db.execute(
            "INSERT INTO packing VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (reference, revision, json.dumps(lines), now_ms + self.packing_ms),
        )
        db.execute(
            "UPDATE packing SET revision = ?, lines = ? WHERE reference = ? AND revision < ? AND ready_at_ms > ?",
            (revision, json.dumps(lines), reference, revision, now_ms),
        )
        row = db.execute("SELECT * FROM packing WHERE reference = ?", (reference,)).fetchone()
        state = "PACKED" if row["ready_at_ms"] <= now_ms else "PICKING"
        return {"state": state, "revision": row["revision"], "ready_at_ms": row["ready_at_ms"]}

    def fetch(self, db: sqlite3.Connection, reference: str, now_ms: int) -> dict[str, Any]:
        """Fetch a parcel at its sender's, once per reference."""
        tracking_no = f"T{secrets.randbelow(10**12):012d}"
        db.execute(
            "INSERT INTO parcel (reference, tracking_no, ready_at_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (reference, tracking_no, now_ms + self.transit_ms),
        )
        row = db.execute("SELECT * FROM parcel WHERE reference = ?", (reference,)).fetchone()
        return _parcel(row, now_ms)

    def track(self, db: sqlite3.Connection, tracking_no: str, now_ms: int) -> dict[str, Any]:
        """Raises: Unknown."""
        row = db.execute("SELECT * FROM parcel WHERE tracking_no = ?", (tracking_no,)).fetchone()
        if row is None:
            raise Unknown(tracking_no)
        return _parcel(row, now_ms)

    def recall(self, db: sqlite3.Connection, tracking_no: str, now_ms: int) -> dict[str, Any]:
        """Send a parcel back that is still on its way; one that has arrived stays where it is.

        Raises: Unknown.
        """
        db.execute(
            "UPDATE parcel SET is_recalled = 1, ready_at_ms = ? "
            "WHERE tracking_no = ? AND is_recalled = 0 AND ready_at_ms > ?",
            (now_ms + self.transit_ms, tracking_no, now_ms),
        )
        return self.track(db, tracking_no, now_ms)


def _parcel(row: sqlite3.Row, now_ms: int) -> dict[str, Any]:
    states = ("RETURNING", "RETURNED") if row["is_recalled"] else ("IN_TRANSIT", "DELIVERED")
    state = states[row["ready_at_ms"] <= now_ms]
    return {"tracking_no": row["tracking_no"], "state": state, "ready_at_ms": row["ready_at_ms"]}
