"""Reading the services' databases: rows, streams of rows, and two streams side by side.

Databases are never joined; what two services say about one order is compared here, one row of each at a time, so that
five million orders need no more memory than fifty.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections

Row = tuple[Any, ...]
_CHUNK_ROWS = 2000


def rows(service: str, sql: str, *parameters: Any) -> list[Row]:
    with connections[service].cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def value(service: str, sql: str, *parameters: Any) -> int:
    """The one number that a query answers with."""
    [[number]] = rows(service, sql, *parameters)
    return int(number)


def stream(service: str, sql: str) -> Iterator[Row]:
    """Rows of a query that may be long; its first column must be sorted with COLLATE "C", Python's own order."""
    with connections[service].chunked_cursor() as cursor:
        cursor.execute(sql)
        while chunk := cursor.fetchmany(_CHUNK_ROWS):
            yield from chunk


def side_by_side(left: Iterator[Row], right: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Pair the rows of two streams by their first column, which is unique and ascending in both."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            yield one, None
            one = next(left, None)
        elif one is None or other[0] < one[0]:
            yield None, other
            other = next(right, None)
        else:
            yield one, other
            one, other = next(left, None), next(right, None)
