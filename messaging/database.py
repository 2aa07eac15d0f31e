"""A service's database from asyncio: its work runs in a few threads, each with a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

#: Per service; with the web processes' pools this stays below the embedded PostgreSQL's 200 connections.
THREADS: Final = 4
#: Classes of SQLSTATE that are about the server: no connection, out of resources, shutting down.
_SERVER_TROUBLE: Final = ("08", "53", "57P")

_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def database_access() -> Iterator[None]:
    """What Django does around a request: drop connections that are broken or too old, give pooled ones back."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def is_unreachable(error: BaseException) -> bool:
    """Whether the database is out of reach: another try at once is in vain, and nothing that was asked is to blame.

    A lost race (deadlock) or a statement that took too long is not that, although Django calls it by the same name.
    """
    if isinstance(error, OperationalError):
        sqlstate: str | None = getattr(error.__cause__, "sqlstate", None)
        return sqlstate is None or sqlstate.startswith(_SERVER_TROUBLE)
    return isinstance(error, InterfaceError)


class DatabaseThreads:
    """Runs functions that use the database, without holding up the event loop."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._connections: set[BaseDatabaseWrapper] = set()

    async def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        def in_thread() -> _T:
            with database_access():
                try:
                    return function(*args, **kwargs)
                finally:
                    self._connections.update(connections.all(initialized_only=True))

        return await asyncio.get_running_loop().run_in_executor(self._executor, in_thread)

    async def close(self) -> None:
        """Wait for what is running, and close the connections of the threads, which are gone then."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._executor.shutdown()
        for connection in self._connections:
            connection.inc_thread_sharing()
            connection.close()
