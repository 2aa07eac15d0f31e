"""The one data directory of a shop (`.millrace` by default): who may look in, and where each thing lies.

Layout:
    secret          the key that signs tokens and sessions (0600), random, made at first use
    state.json      ports chosen and processes running, written by the supervisor
    clock-offset    how far the demo moved the clock
    postgres/ redis/ mq/ paysim/    each server's own files        logs/    one file per process
    run/            unix sockets; in the temporary directory when the path is too long for a socket
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import tempfile
from pathlib import Path

from config import processes

#: sockaddr_un holds 107 bytes and a zero; the longest name in it is PostgreSQL's lock file.
_SOCKET_PATH_MAX_BYTES = 107
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432"


def socket_directory(data: Path) -> Path:
    """Where the sockets of this data directory lie; a pure function of its path, so that every process finds them."""
    inside = data.absolute() / "run"
    if len(os.fsencode(inside / _LONGEST_SOCKET_NAME)) <= _SOCKET_PATH_MAX_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(data.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"millrace-{os.getuid()}-{digest}"


def make_private(directory: Path) -> None:
    """Make a directory that only this user may look into, if it is not there yet.

    In the temporary directory anybody may have put something under our name first: what is no directory of ours is not
    touched.

    Raises: OSError: it cannot be made, or belongs to somebody else.
    """
    try:
        directory.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        found = directory.lstat()
        owners = {os.geteuid(), *(processes.owner_of_unprivileged() or ())[:1]}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
            raise PermissionError(errno.EPERM, "not a directory of this user", str(directory)) from None
        directory.chmod(0o700)


def clock_offset_file(data: Path) -> Path:
    return data / "clock-offset"


def secret_key(data: Path) -> str:
    """The data directory's own secret, made when first asked for and never shown.

    Raises: OSError: the directory cannot be written or the file not read.
    """
    path = data / "secret"
    try:
        return path.read_text()
    except FileNotFoundError:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"secret.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(secrets.token_urlsafe(48))
    try:
        os.link(fresh, path)  # Unlike a rename, a link never replaces the secret another process has just made.
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return path.read_text()
