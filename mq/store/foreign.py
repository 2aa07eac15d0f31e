"""Kinds of RocketMQ stores that are not read here, told by what lies in their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mq.errors import StoreUnusable

#: Pattern under the root, and what a match says.
_SIGNS: Final = (
    ("dledger-*/data/*", "a DLedger (Raft) commit log"),
    ("consumequeue_r/*", "RocksDB consume queues (storeType=defaultRocksDB)"),
    ("rocksdbstore/*", "a RocksDB store (storeType=defaultRocksDB)"),
    ("config/rdb/*", "RocksDB metadata (configManagerVersion=v2)"),
    ("batchconsumequeue/*/*/*", "batch consume queues (queue.type=BatchCQ)"),
    ("compaction/compactionLog/*/*/*", "compaction topics (cleanup.policy=COMPACTION)"),
)


def refuse_foreign(root: Path) -> None:
    """Raises: StoreUnusable: the folder holds messages in a form that would be overlooked."""
    for pattern, kind in _SIGNS:
        for path in root.glob(pattern):
            raise StoreUnusable(
                f"{path} belongs to {kind}, which this broker does not read: choose another store folder"
            )
