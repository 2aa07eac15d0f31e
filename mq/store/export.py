"""Handing a store over: a copy that another broker, Apache RocketMQ above all, opens as if it had been stopped cleanly.

The copy is sparse and keeps the files' times, from which retention counts. It is opened once by our store, which ends
the log where it ends and brings queues and index up to it; if that does not finish, the mark `abort` stays and the
checkpoint goes, with which RocketMQ looks at everything. What only we know of is left out. Works on RocketMQ's own
stores as well. Source: RocketMQ DefaultMessageStore.load, CommitLog.recoverAbnormally.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from mq.clock import SystemClock
from mq.errors import StoreUnusable
from mq.message import Host
from mq.message.record import decode
from mq.store.check import Report, check_store
from mq.store.config import StoreConfig
from mq.store.disk import Disk, written_chunks
from mq.store.foreign import refuse_foreign
from mq.store.recovery import RecoveryReport
from mq.store.store import MessageStore
from mq.store.store_lock import keep_brokers_away

#: What lies in a store directly under its root and belongs to its state.
_TREES: Final = ("consumequeue", "index", "timerlog", "config")
_FILES: Final = ("checkpoint", "recoverypoint", "abort", "timerwheel")
_OURS: Final = ("recoverypoint", "lock")


@dataclass(frozen=True)
class Exported:
    recovery: RecoveryReport
    #: Whether the copy counts as stopped cleanly.
    is_clean: bool
    #: Who stored the newest message: the address and port that message ids name, so the next broker should keep them.
    store_host: Host | None
    report: Report


def export_store(config: StoreConfig, target: Path) -> Exported:
    """Copy the store of `config` to the folder `target`, which must be new or empty, ready for another broker.

    Raises: StoreUnusable: in use, of another kind, or `target` is not empty.  CorruptRecord: damage in the log.
        OSError: no space.
    """
    root = config.root
    if target.exists() and any(target.iterdir()):
        raise StoreUnusable(f"{target} is not empty: choose a new folder")
    if target.resolve().is_relative_to(root.resolve()):
        raise StoreUnusable(f"{target} lies inside the store: choose a folder outside")
    if not config.commit_log_path.is_dir():
        raise StoreUnusable(f"{root} is no store: it has no {config.commit_log_path.name}")
    refuse_foreign(root)
    with keep_brokers_away(root):
        _copy(config, target)
    copied = replace(config, root=target, commit_log_root=None)
    recovery, store_host = _settle(copied)
    is_clean = not (target / "abort").exists()
    if not is_clean:
        (target / "checkpoint").unlink(missing_ok=True)
    for name in _OURS:
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(target / "cut", ignore_errors=True)
    Disk().sync_all()
    return Exported(recovery, is_clean, store_host, check_store(copied))


def _copy(config: StoreConfig, target: Path) -> None:
    _copy_tree(config.commit_log_path, target / "commitlog")
    for name in _TREES:
        _copy_tree(config.root / name, target / name)
    for name in _FILES:
        if (config.root / name).exists():
            _copy_file(config.root / name, target / name)


def _copy_tree(source: Path, target: Path) -> None:
    if not source.is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_dir() and path.name != "preparing":
            _copy_tree(path, target / path.name)
        elif path.is_file() and path.suffix != ".new":
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy what was written; holes stay holes, of which an index file of 420 MB has many."""
    reading = os.open(source, os.O_RDONLY)
    writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.ftruncate(writing, os.fstat(reading).st_size)
        for at, chunk in written_chunks(reading, 0):
            Disk().write(writing, chunk, at)
    finally:
        os.close(reading)
        os.close(writing)
    shutil.copystat(source, target)


def _settle(config: StoreConfig) -> tuple[RecoveryReport, Host | None]:
    """Open and close: recovery does the rest. Also tells who stored the newest message of the last queue."""
    store = MessageStore(config, SystemClock())
    recovery = store.open()
    try:
        store.finish_index()
        host: Host | None = None
        for topic, queue_ids in store.queues().items():
            for entry in store.entries(topic, queue_ids[-1], store.max_offset(topic, queue_ids[-1]) - 1, 1):
                record = store.record_at(entry.commit_log_offset)
                host = decode(record).store_host if record else host
        return recovery, host
    finally:
        store.close_now()
