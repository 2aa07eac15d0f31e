"""The file sizes of a store, as its files tell them, under the keys that a broker's configuration gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PATTERNS: Final = (
    ("mappedFileSizeCommitLog", "{log}/0*"),
    ("mappedFileSizeConsumeQueue", "consumequeue/*/*/0*"),
    ("mappedFileSizeTimerLog", "timerlog/0*"),
)


def file_sizes(root: Path, commit_log_name: str = "commitlog") -> dict[str, str]:
    """Of each kind of which there is a file. An index does not tell its geometry: that must be known."""
    sizes: dict[str, str] = {}
    for key, pattern in _PATTERNS:
        found = (path.stat().st_size for path in root.glob(pattern.format(log=commit_log_name)) if path.is_file())
        size = next((size for size in found if size), None)
        if size is not None:
            sizes[key] = str(size)
    return sizes
