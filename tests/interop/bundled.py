"""The bundled broker as a process of its own, started as a user starts it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.interop.apache import BOTH, PROJECT, Cluster, free_ports


@contextlib.contextmanager
def bundled_broker(
    folder: Path, keys: Mapping[str, str] | None = None, *, store: Path | None = None
) -> Iterator[Cluster]:
    """`python -m mq standalone` on free ports; stopped with SIGTERM, and the exit status must be 0."""
    store = store or folder / "store"
    command = [sys.executable, "-m", "mq", "standalone", "--data", str(store)]
    command += ["--namesrv-port", str(free_ports()), "--broker-port", str(free_ports())]
    for key, value in (BOTH | dict(keys or {})).items():
        command += ["--set", f"{key}={value}"]
    with (folder / "bundled.err").open("w") as errors:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline().split()
        if ready[:1] != ["ready"]:
            raise RuntimeError(f"the broker did not start: {(folder / 'bundled.err').read_text()}")
        addresses = dict(word.split("=", 1) for word in ready[1:])
        yield Cluster(addresses["namesrv"], addresses["broker"], store)
    finally:
        process.terminate()
        status = process.wait(20)
        process.stdout.close()
    assert status == 0, (folder / "bundled.err").read_text()
