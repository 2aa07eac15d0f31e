"""A disk that remembers every call, so that a power cut after any of them can be played.

The store works on real files; beside them grows a journal of what it asked for. `Images` walks that journal and knows,
at each step, what a power cut could leave, taking POSIX at its word:

- a file holds what its last sync covered, and of what was written since any part, in any order, cut at 512 bytes;
- a folder's names are those of its last sync, and of the changes since the first few;
- a file or folder whose name is lost is lost with all that is in it.

The key index is written through a map, past this layer; it is left out of what remains, to be built again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from mq.store.disk import Disk

SECTOR_BYTES: Final = 512
#: What may happen to unsynced work, from "all of it is gone" to "any sectors of it are there".
MODES: Final = ("drop", "keep", "tear", "reorder")


class Step(NamedTuple):
    """One call: `file` numbers files for life, whatever their names; `folder` and `name` say where a name lies."""

    kind: str
    file: int = 0
    position: int = 0
    data: bytes = b""
    folder: Path = Path()
    name: str = ""
    mark: Any = None


class SimDisk(Disk):
    """The real calls, each noted in `journal`."""

    def __init__(self) -> None:
        self.journal: list[Step] = []
        self._files: dict[Path, int] = {}
        self._by_inode: dict[int, int] = {}

    def mark(self, mark: Any) -> None:
        """Note in the journal what the caller knows at this moment."""
        self.journal.append(Step("mark", mark=mark))

    def open(self, path: Path, flags: int = os.O_RDWR) -> int:
        is_new = not path.exists()
        descriptor = super().open(path, flags & ~os.O_TRUNC)
        if path not in self._files:
            self._files[path] = len(self.journal) + 1
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            self._note("there", path, data=content)
        if is_new:
            self._note("link", path)
        file = self._by_inode[os.fstat(descriptor).st_ino] = self._files[path]
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
            self.journal.append(Step("resize", file))
        return descriptor

    def resize(self, descriptor: int, size: int) -> None:
        super().resize(descriptor, size)
        self.journal.append(Step("resize", self._file(descriptor), size))

    def reserve(self, descriptor: int, size: int) -> None:
        super().reserve(descriptor, size)
        self.journal.append(Step("resize", self._file(descriptor), size))

    def write(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        super().write(descriptor, data, position)
        self.journal.append(Step("write", self._file(descriptor), position, bytes(data)))

    def sync(self, descriptor: int) -> None:
        self.journal.append(Step("sync", self._file(descriptor)))

    def sync_all(self) -> None:
        self.journal.append(Step("sync all"))

    def rename(self, path: Path, target: Path) -> None:
        super().rename(path, target)
        file = self._files[target] = self._files.pop(path)
        self.journal.append(Step("link", file, folder=target.parent, name=target.name))
        self.journal.append(Step("unlink", folder=path.parent, name=path.name))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._files.pop(path, None)
        self._note("unlink", path)

    def make_one_folder(self, path: Path) -> None:
        super().make_one_folder(path)
        self._note("folder", path)

    def sync_folder(self, folder: Path) -> None:
        self.journal.append(Step("sync folder", folder=folder))

    def _note(self, kind: str, path: Path, data: bytes = b"") -> None:
        self.journal.append(Step(kind, self._files.get(path, 0), 0, data, path.parent, path.name))

    def _file(self, descriptor: int) -> int:
        return self._by_inode[os.fstat(descriptor).st_ino]


@dataclass
class Content:
    """A file's bytes as of its last sync, and the writes and changes of size since."""

    synced: bytearray = field(default_factory=bytearray)
    pending: list[Step] = field(default_factory=list)


@dataclass
class Names:
    """A folder's entries as of its last sync, a file's number or 0 for a folder, and the changes since."""

    synced: dict[str, int] = field(default_factory=dict)
    pending: list[Step] = field(default_factory=list)


class Images:
    """What a power cut could leave after the steps taken so far. `base` is there whatever happens."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._contents: dict[int, Content] = {}
        self._folders: dict[Path, Names] = {base: Names()}

    def take(self, step: Step) -> None:
        match step.kind:
            case "there":
                self._contents[step.file] = Content(bytearray(step.data))
                if step.data:  # older than the journal
                    self._names(step.folder).synced[step.name] = step.file
            case "write" | "resize":
                self._contents[step.file].pending.append(step)
            case "sync":
                self._settle(self._contents[step.file])
            case "forgotten":
                self._contents[step.file].pending.clear()
            case "sync all":
                for content in self._contents.values():
                    self._settle(content)
                for names in self._folders.values():
                    self._settle_names(names)
            case "link" | "unlink" | "folder":
                self._names(step.folder).pending.append(step)
            case "sync folder":
                self._settle_names(self._names(step.folder))

    def left(self, mode: str, chance: random.Random) -> dict[Path, bytes]:
        """The files after a power cut now; units: see `MODES`."""
        return dict(self._walk(self._base, mode, chance))

    def _walk(self, folder: Path, mode: str, chance: random.Random) -> Iterator[tuple[Path, bytes]]:
        names = self._names(folder)
        kept = {"drop": 0, "keep": len(names.pending)}.get(mode, chance.randint(0, len(names.pending)))
        entries = dict(names.synced)
        for step in names.pending[:kept]:
            _apply_name(entries, step)
        for name, file in entries.items():
            if file:
                yield folder / name, self._content(self._contents[file], mode, chance)
            else:
                yield from self._walk(folder / name, mode, chance)

    def _content(self, content: Content, mode: str, chance: random.Random) -> bytes:
        data = bytearray(content.synced)
        pending = [] if mode == "drop" else content.pending
        if mode == "tear" and pending:
            *whole, last = pending[: chance.randint(1, len(pending))]
            pending = [*whole, *(list(_sectors(last))[: chance.randint(0, 8)])]
        elif mode == "reorder":
            # The size is kept apart from the content, and changes in order, as file systems do it.
            sized = Content(bytearray(data), pending[: chance.randint(0, len(pending))])
            self._settle(sized)
            pending = [sector for step in pending for sector in _sectors(step) if chance.random() < 0.5]
            pending.append(Step("resize", position=len(sized.synced)))
        for step in pending:
            _apply(data, step)
        return bytes(data)

    def _names(self, folder: Path) -> Names:
        return self._folders.setdefault(folder, Names())

    @staticmethod
    def _settle(content: Content) -> None:
        for step in content.pending:
            _apply(content.synced, step)
        content.pending.clear()

    @staticmethod
    def _settle_names(names: Names) -> None:
        for step in names.pending:
            _apply_name(names.synced, step)
        names.pending.clear()


def write_files(files: dict[Path, bytes], base: Path, root: Path) -> None:
    """Lay out what is left of `base` under `root`."""
    for path, data in files.items():
        target = root / path.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def _sectors(step: Step) -> Iterator[Step]:
    """A write cut where the disk's sectors end."""
    if step.kind != "write":
        yield step
        return
    at, end = step.position, step.position + len(step.data)
    while at < end:
        until = min(end, at // SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES)
        yield step._replace(position=at, data=step.data[at - step.position : until - step.position])
        at = until


def _apply(data: bytearray, step: Step) -> None:
    if step.kind == "resize":
        del data[step.position :]
        data.extend(bytes(step.position - len(data)))
        return
    end = step.position + len(step.data)
    data.extend(bytes(max(0, end - len(data))))
    data[step.position : end] = step.data


def _apply_name(entries: dict[str, int], step: Step) -> None:
    if step.kind == "unlink":
        entries.pop(step.name, None)
    else:
        entries[step.name] = step.file
