"""A disk that counts what it is asked for, and fails when it is told to."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path

from mq.store.disk import Disk


class FaultyDisk(Disk):
    """Call `number` (from 1) of `site` fails with `error`, and so do later ones while `is_lasting`."""

    def __init__(self, site: str = "", number: int = 1, error: int = errno.EIO, *, is_lasting: bool = False) -> None:
        self.calls: Counter[str] = Counter()
        self.site = site
        self.number = number
        self.error = error
        self.is_lasting = is_lasting

    def create(self, path: Path, size: int) -> int:
        self._meet("create")
        return super().create(path, size)

    def create_sparse(self, path: Path, size: int) -> int:
        self._meet("create_sparse")
        return super().create_sparse(path, size)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        self._meet("write")
        super().write(descriptor, data, position)

    def sync(self, descriptor: int) -> None:
        self._meet("sync")
        super().sync(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        self._meet("replace")
        super().replace(path, data)

    def _meet(self, site: str) -> None:
        self.calls[site] += 1
        is_hit = self.calls[site] >= self.number if self.is_lasting else self.calls[site] == self.number
        if site == self.site and is_hit:
            raise OSError(self.error, os.strerror(self.error))
