"""The `recoverypoint` file: a place in the commit log before which log, queues and index are known to be on disk.

Recovery starts there instead of at the log's beginning: 64 MiB to look at after a crash, nothing after a clean stop.
RocketMQ does not know the file. When it has run on the store in between, its checkpoint differs from both that the
point remembers, and the point is worth nothing; so it is when its CRC is wrong, or a queue it names is not there.

Layout: the CRC-32 of the rest in 8 hex digits, a newline, JSON.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec

from mq.store.disk import Disk


class RecoveryPoint(msgspec.Struct, frozen=True, rename="camel"):
    commit_log_offset: int
    #: The checkpoint file's bytes in hex before and after this point was made; a crash may leave either.
    checkpoints: tuple[str, str]
    #: Every message before is in the key index, whose files these are.
    indexed_to: int
    index_files: list[str]
    #: Topic, queue id, next offset of every queue that has had a message.
    queues: list[tuple[str, int, int]]
    #: The first queue offset that each of these has room for in its files; a file that is missing shows by it.
    queue_begins: list[int] = []
    #: After a clean stop, the newest index files' `slots_sum`, the newest first.
    index_sums: list[int] = []


def load(path: Path) -> RecoveryPoint | None:
    """The point; None when there is none or the file is damaged: then the whole log is looked at."""
    if not path.exists():
        return None
    crc, _, data = path.read_bytes().partition(b"\n")
    if crc != b"%08x" % zlib.crc32(data):
        return None
    try:
        return msgspec.json.decode(data, type=RecoveryPoint)
    except msgspec.MsgspecError:
        return None


def save(path: Path, point: RecoveryPoint, disk: Disk) -> None:
    """Replace the file as a whole. Raises: OSError."""
    data = msgspec.json.encode(point)
    disk.replace(path, b"%08x\n" % zlib.crc32(data) + data)
