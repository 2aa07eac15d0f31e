"""One process, one store: the `lock` file, locked on its first byte as RocketMQ locks it (fcntl, not flock)."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mq.errors import StoreUnusable

_CONTENT: Final = b"lock"
#: The system's lock belongs to the process, so it does not keep the process from opening a store twice; this does.
_held: set[Path] = set()


class StoreLock:
    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises: StoreUnusable: somebody else has the store open."""
        sentence = f"{self._path.parent} is open in another broker: stop that one, or choose another folder"
        if self._path in _held:
            raise StoreUnusable(sentence)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
        except OSError as error:
            os.close(descriptor)
            raise StoreUnusable(sentence) from error
        os.pwrite(descriptor, _CONTENT, 0)
        _held.add(self._path)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            _held.discard(self._path)
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def keep_brokers_away(root: Path) -> Iterator[None]:
    """Hold a store that is only read, without writing anything: no broker can open it meanwhile.

    Raises: StoreUnusable: a broker has it open.
    """
    path = (root / "lock").resolve()
    sentence = f"{root} is open in a broker: stop that one, or look at a copy"
    if path in _held:
        raise StoreUnusable(sentence)
    if not path.exists():
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 0)
        except OSError as error:
            raise StoreUnusable(sentence) from error
        yield
    finally:
        os.close(descriptor)
