"""The small files: checkpoint and recovery point, and the JSON under `config/` with its backups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mq.errors import MQError
from mq.store import checkpoint, json_files, recovery_point
from mq.store.check.log import LogShape
from mq.store.check.report import Part


def check_marks(root: Path, log: LogShape) -> Part:
    """`checkpoint` and `recoverypoint`, held against the log."""
    part = Part("checkpoints")
    path = root / "checkpoint"
    if path.exists():
        part.file_count += 1
        size = path.stat().st_size
        if size != checkpoint.FILE_BYTES:
            part.add_damage(path, size, f"{size} bytes, where a checkpoint has {checkpoint.FILE_BYTES}")
        last = checkpoint.load(path)
        if min(last) < 0:
            part.add_damage(path, 0, f"no field of a checkpoint is negative: {last}")
        elif last.log_timestamp_ms > log.last_timestamp_ms >= 0:
            part.add_damage(path, 0, f"knows a message of {last.log_timestamp_ms} ms, newer than any in the log")
    point_path = root / "recoverypoint"
    if point_path.exists():
        part.file_count += 1
        point = recovery_point.load(point_path)
        if point is None:
            part.add_damage(point_path, 0, "does not match its CRC: the next start reads the whole log")
        elif point.commit_log_offset > log.end and _is_current(point, root):
            part.add_damage(point_path, 0, f"messages were stored up to {point.commit_log_offset}, now to {log.end}")
    return part


def check_config(root: Path) -> tuple[Part, set[str] | None]:
    """Every JSON file, and the topics that are known; None when their file is not there or not readable."""
    part = Part("configuration")
    folder = root / "config"
    names = sorted(path.name for path in folder.iterdir() if _is_json(path)) if folder.is_dir() else []
    tables: dict[str, dict[str, Any]] = {}
    for name in names:
        part.file_count += 1
        path = folder / name
        try:
            tables[name] = json_files.read(path)
            part.items += 1
        except (MQError, OSError) as error:
            part.add_damage(path, None, str(error))
    topics = tables.get("topics.json", {}).get("topicConfigTable")
    return part, set(topics) if isinstance(topics, dict) else None


def _is_json(path: Path) -> bool:
    return path.name.removesuffix(".bak").endswith((".json", "timermetrics", "transactionMetrics"))


def _is_current(point: recovery_point.RecoveryPoint, root: Path) -> bool:
    """Whether nobody, RocketMQ above all, has run on the store since the point was made."""
    return checkpoint.load(root / "checkpoint").pack().hex() in point.checkpoints
