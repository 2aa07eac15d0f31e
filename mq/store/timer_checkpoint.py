"""How far the timers have come: `config/timercheck`, 4096 bytes of which the first 64 are used.

```
off  size  field
0    8     last read time: every slot of the wheel before it has been delivered, ms
8    8     timer log position up to which log and wheel are on disk
16   8     next message of `rmq_sys_wheel_timer`, queue 0, that is not on the wheel yet
24   8     the same of the master, on a slave; equal on a master
32   24    data version: state version, timestamp ms, counter

56   8     slot length in ms that the wheel was written with
64   4     CRC-32 of the 64 bytes before
68   4     n, the number of sums: 296
72   4     CRC-32 of the sums
512  4 n   sums: the CRC-32 of each part of the wheel
2048 68    the first 68 bytes again, for when a disk has changed those
```
Big-endian. What lies behind the first 56 bytes is ours alone: RocketMQ neither reads nor writes it. So where the first
CRC is wrong, either RocketMQ has gone on, which counts its writes on, or the bytes are damaged and the copy is good.
Each part lies in a sector of its own, so a write of it takes place or does not.
Source: RocketMQ store/timer/TimerCheckpoint.java.
"""

from __future__ import annotations

import logging
import struct
import zlib
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Final

from mq.errors import CorruptRecord
from mq.store.disk import Disk

_LAYOUT = struct.Struct(">8q")
_FILE_BYTES: Final = 4096
_CHECKS = struct.Struct(">III")
_SUMS_AT: Final = 512
_COPY_AT: Final = 2048
_SUMS_MAX: Final = (_COPY_AT - _SUMS_AT) // 4

logger = logging.getLogger(__name__)


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
    #: What `TimerWheel.sums` were when this was written; empty when that is not known.
    wheel_sums: tuple[int, ...] = field(default=(), repr=False)


def load(path: Path) -> TimerCheckpoint | None:
    """None when there is none: the timers of a new store, or of one that lost them.

    Raises: CorruptRecord: shorter than its fields, or with a negative one, and no copy that is better.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    # What Apache RocketMQ 4.x wrote may be short of the last fields: it always fills the file to 4096 bytes with zeros.
    if len(data) < _LAYOUT.size:
        raise CorruptRecord(path, len(data), f"a timer checkpoint has {_FILE_BYTES} bytes, not {len(data)}")
    data = data.ljust(_FILE_BYTES, b"\0")
    found, copy = _fields(data, 0), _fields(data, _COPY_AT)
    if found is None:
        found = TimerCheckpoint(*_LAYOUT.unpack_from(data))
        if copy is None or (found.timestamp_ms, found.counter) > (copy.timestamp_ms, copy.counter):
            if min(_LAYOUT.unpack_from(data)) < 0:
                raise CorruptRecord(path, 0, f"no field of a timer checkpoint is negative: {found}")
            return found  # RocketMQ's, and of its wheel no sum is known
        logger.error("%s was damaged: its copy is taken", path)
        found = copy
    return replace(found, wheel_sums=_sums(data))


def _fields(data: bytes, at: int) -> TimerCheckpoint | None:
    """What we wrote there; None when that is not what is there."""
    (crc,) = struct.unpack_from(">I", data, at + _LAYOUT.size)
    is_ours = crc == zlib.crc32(data[at : at + _LAYOUT.size])
    return TimerCheckpoint(*_LAYOUT.unpack_from(data, at)) if is_ours else None


def _sums(data: bytes) -> tuple[int, ...]:
    _crc, count, crc = _CHECKS.unpack_from(data, _LAYOUT.size)
    sums = data[_SUMS_AT : _SUMS_AT + 4 * min(count, _SUMS_MAX)]
    return struct.unpack(f">{len(sums) // 4}I", sums) if zlib.crc32(sums) == crc else ()


def pack(checkpoint: TimerCheckpoint) -> bytes:
    """The 56 bytes that replicas of RocketMQ ask for (code 60): the file's fields without ours."""
    return _packed(checkpoint)[:56]


def save(path: Path, checkpoint: TimerCheckpoint, disk: Disk) -> None:
    """Write it to disk; returns when it is there."""
    disk.make_folder(path.parent)
    is_new = not path.exists()
    fields, count = _packed(checkpoint), len(checkpoint.wheel_sums)
    assert count <= _SUMS_MAX
    sums = struct.pack(f">{count}I", *checkpoint.wheel_sums)
    head = fields + _CHECKS.pack(zlib.crc32(fields), count, zlib.crc32(sums))
    copy = head[: _LAYOUT.size + 4]
    disk.overwrite(path, head.ljust(_SUMS_AT, b"\0") + sums.ljust(_COPY_AT - _SUMS_AT, b"\0") + copy, _FILE_BYTES)
    if is_new:
        disk.sync_folder(path.parent)


def _packed(checkpoint: TimerCheckpoint) -> bytes:
    *fields, _sums = astuple(checkpoint)
    return _LAYOUT.pack(*fields)
