"""A disk that counts what it is asked for, and fails when it is told to."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Final

from mq.store.disk import Disk

#: The single calls to the system, each of which may fail; `create`, `create_sparse` and `replace` are made of them.
CALLS: Final = ("open", "resize", "reserve", "write", "sync", "rename", "unlink", "make_one_folder", "sync_folder")


class FaultyDisk(Disk):
    """Call `number` (from 1) of `site` fails with `error`, and so do later ones while `is_lasting`."""

    def __init__(self, site: str = "", number: int = 1, error: int = errno.EIO, *, is_lasting: bool = False) -> None:
        self.calls: Counter[str] = Counter()
        self.site = site
        self.number = number
        self.error = error
        self.is_lasting = is_lasting
        self.has_failed = False

    def create(self, path: Path, size: int) -> int:
        self._meet("create")
        return super().create(path, size)

    def create_sparse(self, path: Path, size: int) -> int:
        self._meet("create_sparse")
        return super().create_sparse(path, size)

    def replace(self, path: Path, data: bytes, backup: Path | None = None) -> None:
        self._meet("replace")
        super().replace(path, data, backup)

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        self._meet("open")
        return super().open(path, flags)

    def resize(self, descriptor: int, size: int) -> None:
        self._meet("resize")
        super().resize(descriptor, size)

    def reserve(self, descriptor: int, size: int) -> None:
        self._meet("reserve")
        super().reserve(descriptor, size)

    def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        self._meet("write")
        super().write(descriptor, data, position)

    def sync(self, descriptor: int) -> None:
        self._meet("sync")
        super().sync(descriptor)

    def rename(self, path: Path, target: Path) -> None:
        self._meet("rename")
        super().rename(path, target)

    def unlink(self, path: Path) -> None:
        self._meet("unlink")
        super().unlink(path)

    def make_one_folder(self, path: Path) -> None:
        self._meet("make_one_folder")
        super().make_one_folder(path)

    def sync_folder(self, folder: Path) -> None:
        self._meet("sync_folder")
        super().sync_folder(folder)

    def _meet(self, site: str) -> None:
        self.calls[site] += 1
        is_hit = self.calls[site] >= self.number if self.is_lasting else self.calls[site] == self.number
        if site == self.site and is_hit:
            self.has_failed = True
            raise OSError(self.error, os.strerror(self.error))
