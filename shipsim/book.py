"""What warehouse and carrier remember: SQLite, one row per order or parcel, one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packing (
    reference   TEXT PRIMARY KEY,
    -- the newest wish that was carried out; an older one that comes late changes nothing
    revision    INTEGER NOT NULL,
    lines       TEXT NOT NULL,
    ready_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS parcel (
    reference   TEXT PRIMARY KEY,
    tracking_no TEXT NOT NULL UNIQUE,
    is_recalled INTEGER NOT NULL DEFAULT 0,
    ready_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS fault (
    fault_id   INTEGER PRIMARY KEY,
    party      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    left_count INTEGER NOT NULL,
    argument   INTEGER NOT NULL
) STRICT;
"""


class Book:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()
