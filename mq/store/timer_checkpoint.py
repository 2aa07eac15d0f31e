"""How far the timers have come: `config/timercheck`, 4096 bytes of which the first 64 are used.

```
off  size  field
0    8     last read time: every slot of the wheel before it has been delivered, ms
8    8     timer log position up to which log and wheel are on disk
16   8     next message of `rmq_sys_wheel_timer`, queue 0, that is not on the wheel yet
24   8     the same of the master, on a slave; equal on a master
32   24    data version: state version, timestamp ms, counter
56   8     slot length in ms that the wheel was written with (ours alone: RocketMQ leaves zeros here)
```
No checksum: RocketMQ writes the first 56 bytes and leaves the rest, so one of ours would be wrong after it.
Big-endian. 64 bytes at the file's start lie in one sector, so a write takes place or does not.
Source: RocketMQ store/timer/TimerCheckpoint.java.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from mq.errors import CorruptRecord
from mq.store.disk import Disk

_LAYOUT = struct.Struct(">8q")
_FILE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class TimerCheckpoint:
    last_read_time_ms: int
    timer_log_position: int
    queue_offset: int
    master_queue_offset: int
    state_version: int = 0
    timestamp_ms: int = 0
    counter: int = 0
    precision_ms: int = 0


def load(path: Path) -> TimerCheckpoint | None:
    """None when there is none: the timers of a new store, or of one that lost them.

    Raises: CorruptRecord: shorter than its fields or with a negative one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    # What Apache RocketMQ 4.x wrote may be short of the last fields: it always fills the file to 4096 bytes with zeros.
    if len(data) < _LAYOUT.size:
        raise CorruptRecord(path, len(data), f"a timer checkpoint has {_FILE_BYTES} bytes, not {len(data)}")
    checkpoint = TimerCheckpoint(*_LAYOUT.unpack_from(data))
    if min(_LAYOUT.unpack_from(data)) < 0:
        raise CorruptRecord(path, 0, f"no field of a timer checkpoint is negative: {checkpoint}")
    return checkpoint


def pack(checkpoint: TimerCheckpoint) -> bytes:
    """The 56 bytes that replicas of RocketMQ ask for (code 60): the file's fields without ours."""
    return _LAYOUT.pack(*astuple(checkpoint))[:56]


def save(path: Path, checkpoint: TimerCheckpoint, disk: Disk) -> None:
    """Write it to disk; returns when it is there."""
    disk.make_folder(path.parent)
    is_new = not path.exists()
    disk.overwrite(path, _LAYOUT.pack(*astuple(checkpoint)), _FILE_BYTES)
    if is_new:
        disk.sync_folder(path.parent)
