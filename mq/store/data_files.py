"""Names and sizes of the fixed-size files in which logs and queues are kept.

A file is named by the position of its first byte in its own sequence, in 20 decimal digits. RocketMQ refuses to start
when one of them has another size or a stray file lies beside them, and reads wrong bytes across a gap; so do we refuse.
"""

from __future__ import annotations

from pathlib import Path

from mq.errors import StoreUnusable


def file_name(start: int) -> str:
    return f"{start:020d}"


def load_starts(folder: Path, file_bytes: int) -> list[int]:
    """The first positions of the folder's files, ascending; an empty last file, left by a crash, is deleted.

    Raises: StoreUnusable: a file of another size, a foreign name, or a gap; the sentence names it.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if files and files[-1].stat().st_size == 0:
        files.pop().unlink()
    starts: list[int] = []
    for path in files:
        size = path.stat().st_size
        if not (path.name.isdecimal() and len(path.name) == 20):
            raise StoreUnusable(f"{path} is no data file of the store: move it out of the folder")
        if size != file_bytes:
            raise StoreUnusable(f"{path} has {size} bytes, not the configured {file_bytes}: set the file size to match")
        start = int(path.name)
        if start % file_bytes or (starts and start != starts[-1] + file_bytes):
            raise StoreUnusable(f"{path} does not follow the file before it: one is missing; restore it from a backup")
        starts.append(start)
    return starts


def damaged_files(folder: Path, file_bytes: int) -> list[Path]:
    """Data files of another size, and those before a gap: without them the rest is contiguous up to the newest."""
    damaged: list[Path] = []
    expected: int | None = None
    for path in sorted(folder.iterdir(), reverse=True):
        if not (path.is_file() and path.name.isdecimal() and len(path.name) == 20):
            continue
        start = int(path.name)
        if path.stat().st_size != file_bytes or start % file_bytes or expected not in (None, start):
            damaged.append(path)
        else:
            expected = start - file_bytes
    return damaged
