"""The calls by which the store changes files, in one place, so that tests can put a failing disk behind them.

Every data file keeps its size for life: created whole, written inside, deleted whole. So `fdatasync` suffices for what
is written later, and a full disk is met when a file is created, not in the middle of a message.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1 << 20


class Disk:
    def create(self, path: Path, size: int) -> int:
        """Make a file of zero bytes with all its blocks reserved appear under its name, whole or not at all.

        It is made in a folder `preparing` beside it, which RocketMQ skips, whereas an unfinished file would stop it.
        Returns: its descriptor.  Raises: OSError: no space, above all.
        """
        workshop = path.parent / "preparing"
        workshop.mkdir(parents=True, exist_ok=True)
        draft = workshop / path.name
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
            draft.rename(path)
            with contextlib.suppress(OSError):  # a kill left another draft in it, which nobody needs or minds
                workshop.rmdir()
            self.sync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return descriptor

    def create_sparse(self, path: Path, size: int) -> int:
        """The same without reserving blocks, for the many small files that may always be built again."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(descriptor, size)
        return descriptor

    def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        """Write all of `data`; the operating system may take it in parts."""
        written = os.pwrite(descriptor, data, position)
        while written < len(data):
            written += os.pwrite(descriptor, memoryview(data)[written:], position + written)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def zero_from(self, descriptor: int, position: int) -> None:
        """Make every byte from `position` on zero; the blocks stay reserved."""
        for at, chunk in written_chunks(descriptor, position):
            if not is_zero(chunk):
                self.write(descriptor, bytes(len(chunk)), at)
        os.fsync(descriptor)

    def replace(self, path: Path, data: bytes) -> None:
        """Give a small file new content, or leave the old one."""
        draft = path.with_name(path.name + ".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            self.write(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        draft.replace(path)
        self.sync_folder(path.parent)

    def used_percent(self, folder: Path) -> int:
        """How full the partition is for us, rounded up, as RocketMQ counts: used / (used + usable)."""
        status = os.statvfs(folder)
        used = status.f_blocks - status.f_bfree
        return -(-used * 100 // max(used + status.f_bavail, 1))

    def remove(self, path: Path) -> None:
        path.unlink()
        self.sync_folder(path.parent)


def written_chunks(descriptor: int, begin: int, overlap_bytes: int = 0) -> Iterator[tuple[int, bytes]]:
    """The parts of a file from `begin` on that were ever written, in chunks of 1 MiB and `overlap_bytes` of the next.

    Reserved blocks and holes are skipped without being read: after a crash nearly all of a file's end is such.
    """
    # All stretches first: reading one makes the system read ahead, and what it has read it reports as written.
    for start, end in list(_written_stretches(descriptor, begin)):
        for at in range(start, end, _CHUNK_BYTES):
            yield at, os.pread(descriptor, min(_CHUNK_BYTES, end - at) + overlap_bytes, at)


def _written_stretches(descriptor: int, begin: int) -> Iterator[tuple[int, int]]:
    end, size = begin, os.fstat(descriptor).st_size
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        yield begin, end


def is_zero(chunk: bytes) -> bool:
    """Whether there is nothing but zeros: 0.06 ms for 1 MiB, 12 with `any`."""
    return chunk == bytes(len(chunk))
