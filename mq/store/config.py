"""What a store can be told. The sizes and counts must be those the files were written with."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mq.message import Host

#: RocketMQ's 18 levels: 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h.
DELAY_LEVELS_MS: Final = tuple(
    seconds * 1000
    for seconds in (1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200)
)


class FlushMode(enum.Enum):
    """When a message counts as committed: after a sync of the disk, or once the operating system has it."""

    SYNC = "SYNC_FLUSH"
    ASYNC = "ASYNC_FLUSH"


@dataclass(frozen=True)
class StoreConfig:
    root: Path
    store_host: Host = field(default_factory=lambda: Host("127.0.0.1", 10911))
    #: None: `commitlog` under the root.
    commit_log_root: Path | None = None

    # Sizes, as RocketMQ's
    commit_log_file_bytes: int = 1 << 30
    consume_queue_file_bytes: int = 6_000_000
    index_slot_count: int = 5_000_000
    index_entry_count: int = 20_000_000
    max_message_bytes: int = 4 << 20

    # Writing
    flush: FlushMode = FlushMode.SYNC
    #: How often ASYNC mode syncs what was written.
    async_flush_interval_ms: int = 500
    key_index: bool = True
    delay_levels_ms: tuple[int, ...] = DELAY_LEVELS_MS

    # Retention: files older than this go, at `delete_hours` (local time) or when the disk fills
    retention_hours: int = 72
    delete_hours: tuple[int, ...] = (4,)
    #: Above: expired files go at any hour.
    disk_max_used_percent: int = 75
    #: Above: the oldest files go, expired or not.
    disk_force_clean_percent: int = 85
    #: Above: sends are refused.
    disk_full_percent: int = 90

    @property
    def commit_log_path(self) -> Path:
        return self.commit_log_root or self.root / "commitlog"

    @property
    def consume_queue_path(self) -> Path:
        return self.root / "consumequeue"

    @property
    def index_path(self) -> Path:
        return self.root / "index"
