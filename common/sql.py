"""Set-based SQL lives in `.sql` files beside the services that run it: one statement, one decision for a whole batch.

Rows go in as one JSON array (`jsonb_to_recordset`) and come out as tuples. Parameters are psycopg's, `%(name)s`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from django.db import connections
from django.db.models import QuerySet

#: Rows deleted per transaction.
_BATCH_COUNT = 5000


class Statement:
    """The one statement of a file, read at import so that a missing file is noticed at the start."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()

    def run(self, using: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Execute it in the current transaction of that database and return its rows, if it is one that has any."""
        with connections[using].cursor() as cursor:
            cursor.execute(self.text, parameters)
            return cursor.fetchall() if cursor.description else []


def rows(records: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a parameter for `jsonb_to_recordset(%(name)s::jsonb) AS name (column type, ...)`."""
    return jsonb(records)


def jsonb(value: object) -> str:
    """Any value as a parameter for `%(name)s::jsonb`."""
    return msgspec.json.encode(value).decode()


def delete_in_batches(rows: QuerySet[Any]) -> int:
    """Delete all of these, however many, a few thousand per transaction; how many there were.

    One long transaction would keep the database from cleaning up behind everybody else's.
    """
    everything = rows.model._base_manager.using(rows.db)
    total_count = 0
    while deleted_count := everything.filter(pk__in=rows.values("pk")[:_BATCH_COUNT]).delete()[0]:
        total_count += deleted_count
    return total_count
