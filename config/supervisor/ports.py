"""The TCP ports of a shop: chosen once per data directory and remembered, so that its addresses stay what they were."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

from config.data_directory import used
from config.errors import CannotStart

#: The name server's and the broker's are RocketMQ's own.
DEFAULTS: Final = {"namesrv": 9876, "broker": 10911, "web": 8000, "paysim": 8001, "staff": 8003}
#: A good base port when the defaults are taken.
ELSEWHERE: Final = 20_000
_FILE: Final = "ports.json"
#: How far above --base-port free ones are looked for.
_SEARCH_SPAN: Final = 200


def choose(data: Path, needed: Iterable[str], *, base_port: int | None) -> dict[str, int]:
    """A port for each name: free ones from `base_port` on, else those of the last time, else the defaults.

    Raises: CannotStart: one of them is taken, or there are too few free ones.
    """
    names = list(needed)
    if base_port is None:
        for name, port in taken(data, names).items():
            raise CannotStart(
                f"Port {port} ({name}) is taken{_by_whom(port)}: stop that, or choose free ports with "
                f"`manage.py up --base-port {ELSEWHERE if port < ELSEWHERE else port + 100}`."
            )
        ports = _wanted(data, names)
    else:
        ports = _free_from(base_port, names)
    (data / _FILE).write_text(json.dumps({**_remembered(data), **ports}))
    return ports


def taken(data: Path, names: Iterable[str]) -> dict[str, int]:
    """Those ports that a shop without --base-port would want and that somebody listens on."""
    return {name: port for name, port in _wanted(data, names).items() if not is_free(port)}


def _wanted(data: Path, names: Iterable[str]) -> dict[str, int]:
    remembered = _remembered(data)
    return {name: remembered.get(name, DEFAULTS[name]) for name in names}


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_from(base_port: int, names: list[str]) -> dict[str, int]:
    if not 1024 <= base_port <= 65_535 - _SEARCH_SPAN:
        raise CannotStart(f"--base-port {base_port}: choose one between 1024 and {65_535 - _SEARCH_SPAN}.")
    free = (port for port in range(base_port, base_port + _SEARCH_SPAN) if is_free(port))
    ports = dict(zip(names, free, strict=False))
    if len(ports) < len(names):
        raise CannotStart(f"Fewer than {len(names)} free ports from {base_port} on: choose another --base-port.")
    return ports


def _remembered(data: Path) -> Mapping[str, int]:
    with used(data):
        try:
            ports = json.loads((data / _FILE).read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
    if not isinstance(ports, dict):
        return {}
    return {name: port for name, port in ports.items() if name in DEFAULTS and port in range(65_536)}


def _by_whom(port: int) -> str:
    """The listener as far as this user may see it."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            is_it = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
            if is_it and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        return ""
    return ""
