"""paysim's own book: SQLite in WAL mode, synced at every commit, one writer at a time.

What the gateway has answered must survive a power cut, so `synchronous` is FULL. All work goes through `transaction()`;
one connection and one lock are plenty for a simulator and leave nothing to race about.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS trade (
    trade_no      TEXT PRIMARY KEY,
    -- whose dialect it was made in: 'alipay' or 'wechat'
    channel       TEXT NOT NULL DEFAULT 'alipay',
    -- the merchant: app_id at Alipay, mchid at WeChat Pay
    app_id        TEXT NOT NULL,
    -- WeChat Pay's appid, which is not the merchant; empty at Alipay
    sub_app_id    TEXT NOT NULL DEFAULT '',
    out_trade_no  TEXT NOT NULL,
    -- 1 for the second payment of one order, which only a fault brings about
    is_extra      INTEGER NOT NULL DEFAULT 0,
    token         TEXT NOT NULL UNIQUE,
    subject       TEXT NOT NULL,
    total_cents   INTEGER NOT NULL CHECK (total_cents > 0),
    refunded_cents INTEGER NOT NULL DEFAULT 0 CHECK (refunded_cents BETWEEN 0 AND total_cents),
    notify_url    TEXT NOT NULL,
    return_url    TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('WAIT_BUYER_PAY', 'TRADE_SUCCESS', 'TRADE_CLOSED')),
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,
    paid_at_ms    INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS trade_by_payment ON trade (app_id, paid_at_ms) WHERE paid_at_ms IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS trade_of_order ON trade (app_id, out_trade_no) WHERE is_extra = 0;

CREATE TABLE IF NOT EXISTS refund (
    trade_no       TEXT NOT NULL REFERENCES trade (trade_no),
    out_request_no TEXT NOT NULL,
    amount_cents   INTEGER NOT NULL CHECK (amount_cents > 0),
    reason         TEXT NOT NULL,
    refunded_at_ms INTEGER NOT NULL,
    PRIMARY KEY (trade_no, out_request_no)
) STRICT;
CREATE INDEX IF NOT EXISTS refund_by_number ON refund (out_request_no);
CREATE INDEX IF NOT EXISTS refund_by_time ON refund (refunded_at_ms);

CREATE TABLE IF NOT EXISTS notification (
    notify_id     TEXT PRIMARY KEY,
    trade_no      TEXT NOT NULL REFERENCES trade (trade_no),
    attempt_count INTEGER NOT NULL DEFAULT 0,
    -- NULL when there is nothing more to do: answered `success`, or given up
    next_at_ms    INTEGER,
    -- 1 while it waits to be overtaken by another one (a fault that was asked for)
    held          INTEGER NOT NULL DEFAULT 0,
    delivered     INTEGER NOT NULL DEFAULT 0,
    last_answer   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS notification_due ON notification (next_at_ms) WHERE next_at_ms IS NOT NULL;

CREATE TABLE IF NOT EXISTS fault (
    fault_id     INTEGER PRIMARY KEY,
    kind         TEXT NOT NULL,
    -- empty is any order
    out_trade_no TEXT NOT NULL,
    left_count   INTEGER NOT NULL,
    argument     INTEGER NOT NULL
) STRICT;
"""


#: What books of earlier versions lack.
_LATER_COLUMNS = (
    ("trade", "channel", "TEXT NOT NULL DEFAULT 'alipay'"),
    ("trade", "sub_app_id", "TEXT NOT NULL DEFAULT ''"),
    ("notification", "held", "INTEGER NOT NULL DEFAULT 0"),
)


class Database:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        for table, column, kind in _LATER_COLUMNS:
            columns = {row["name"] for row in self._connection.execute(f"PRAGMA table_info({table})")}
            if columns and column not in columns:
                self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
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
