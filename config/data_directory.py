"""The one data directory of a shop (`.millrace` by default): who may look in, and where each thing lies.

Layout:
    secret          the key that signs tokens and sessions (0600), random, made at first use
    state.json      ports chosen and processes running, written by the supervisor
    clock-offset    how far the demo moved the clock
    postgres/ redis/ mq/ paysim/    each server's own files        logs/    one file per process
    run/            unix sockets; in the temporary directory when the path is too long for a socket
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config import processes
from config.errors import DataDirectoryUnusable

#: sockaddr_un holds 107 bytes and a zero; the longest name in it is PostgreSQL's lock file.
_SOCKET_PATH_MAX_BYTES = 107
_LONGEST_SOCKET_NAME = ".s.PGSQL.5432"
#: What `secret_key` makes has twice as many characters.
_SECRET_LENGTH_MIN: Final = 32


@contextlib.contextmanager
def used(data: Path) -> Iterator[None]:
    """What the system refuses within the block is told as a matter of the data directory.

    Raises: DataDirectoryUnusable.
    """
    try:
        yield
    except OSError as error:
        raise DataDirectoryUnusable(
            f"The data directory {data} cannot be used ({error.filename or data}: {error.strerror}): "
            "make it readable and writable for this user, or choose another one with --data DIR."
        ) from error


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

    Raises: DataDirectoryUnusable: it cannot be written or read, or the file does not hold what was once written.
    """
    path = data / "secret"
    with used(data):
        if not path.exists():
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_secret(path)
        secret = path.read_text(errors="replace")
    if len(secret) < _SECRET_LENGTH_MIN:
        raise DataDirectoryUnusable(
            f"{path} is damaged: remove it, and the next start makes a new one (everybody has to log in again)."
        )
    return secret


def _make_secret(path: Path) -> None:
    fresh = path.with_name(f"secret.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())  # Without it a power cut could leave an empty file, and an empty key signs, too.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)  # Unlike a rename, a link never replaces the secret another process has just made.
    fresh.unlink()
