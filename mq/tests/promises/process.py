"""What a process costs, as Linux tells it."""

from __future__ import annotations

from pathlib import Path


def resident_mib(pid: int | str = "self") -> float:
    return _status_kib(pid, "VmRSS") / 1024


def peak_mib(pid: int | str = "self") -> float:
    """The most that was ever resident."""
    return _status_kib(pid, "VmHWM") / 1024


def _status_kib(pid: int | str, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")
