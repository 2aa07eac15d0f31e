"""Data files opened for reading: the fixed-size files of a folder, by the position of their first byte."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mq.store.check.report import Part


class DataFile(NamedTuple):
    path: Path
    start: int
    size: int


def data_files(folder: Path, file_bytes: int | None, part: Part) -> list[DataFile]:
    """The folder's files, ascending; what neither broker would start with is damage.

    `file_bytes` None: the size that most of them have.
    """
    found = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []:
        if path.name.isdecimal() and len(path.name) == 20:
            found.append(DataFile(path, int(path.name), path.stat().st_size))
        else:
            part.add_damage(path, None, "no data file of the store: neither broker starts with it")
    if found and found[-1].size == 0:
        part.add_note(f"{found.pop().path} is empty, as a crash may leave it: brokers delete it")
    sizes = Counter(file.size for file in found)
    expected = file_bytes or (sizes.most_common(1)[0][0] if sizes else 0)
    sound: list[DataFile] = []
    for file in found:
        part.file_count += 1
        if file.size != expected:
            part.add_damage(file.path, file.size, f"{file.size} bytes, where the files have {expected}")
            continue
        if sound and file.start != sound[-1].start + expected:
            missing = sound[-1].start + expected
            part.add_damage(file.path, 0, f"does not follow the file before it: {missing:020d} is missing")
        sound.append(file)
    return sound


@contextlib.contextmanager
def mapped(path: Path) -> Iterator[tuple[int, mmap.mmap]]:
    """Descriptor and read-only map of a file that is not empty."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as view:
            yield descriptor, view
    finally:
        os.close(descriptor)
