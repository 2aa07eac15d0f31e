"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import psutil

from mq.bench.measure import environment
from tests.interop.maven import PROJECT

Environment = dict[str, str]

_SYNCS = 200


def describe(folder: Path, **options: str) -> Environment:
    """As of now; `folder` lies on the disk that the stores will be on, `options` are of the run."""
    known = environment()
    memory_gib = psutil.virtual_memory().total / 2**30
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit(),
        "cpu": known["cpu"],
        "cores": known["cores"],
        "memory": f"{memory_gib:.0f} GiB",
        "disk": f"fdatasync of 4 KiB in {sync_ms(folder):.2f} ms",
        "system": known["system"],
        "python": known["python"],
        "java": java_version(),
        **options,
    }


@cache
def commit() -> str:
    """The checked-out commit, marked when the working copy differs from it."""
    git = ["git", "-C", str(PROJECT)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*git, "status", "--porcelain", "-uno", "--", "mq"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.stdout.strip() + (" with changes" if changes.stdout.strip() else "")


@cache
def java_version() -> str:
    try:
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return told.stderr.splitlines()[0]


@cache
def sync_ms(folder: Path) -> float:
    """The median time of a small write and its sync, at the end of a growing file."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            began_s = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began_s)
    return statistics.median(times) * 1000
