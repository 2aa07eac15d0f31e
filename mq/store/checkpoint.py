"""The `checkpoint` file: up to which store time log, queues and index are known to be on disk, for RocketMQ's recovery.

```
0   i64 commit log | 8   i64 consume queues | 16  i64 last full index file       store timestamps, ms
24  i64 master flushed offset | 32  i64 confirmed commit log offset              4096 bytes in all
```
Our own recovery starts from `recovery_point.py`, which is exact. Source: RocketMQ StoreCheckpoint.java.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, NamedTuple

from mq.store.disk import Disk

_FIELDS = struct.Struct(">qqqqq")
FILE_BYTES: Final = 4096


class Checkpoint(NamedTuple):
    log_timestamp_ms: int = 0
    queue_timestamp_ms: int = 0
    index_timestamp_ms: int = 0
    master_flushed_offset: int = 0
    confirmed_offset: int = 0

    def pack(self) -> bytes:
        return _FIELDS.pack(*self)


def load(path: Path) -> Checkpoint:
    """The file's content; zeros when it is missing or too short, with which RocketMQ looks at everything."""
    data = path.read_bytes() if path.exists() else b""
    return Checkpoint(*_FIELDS.unpack_from(data)) if len(data) >= _FIELDS.size else Checkpoint()


def save(path: Path, checkpoint: Checkpoint, disk: Disk) -> None:
    """Write in place, as RocketMQ does: the fields lie in one sector. Raises: OSError."""
    disk.overwrite(path, checkpoint.pack(), FILE_BYTES)
