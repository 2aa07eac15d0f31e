"""What a shop consists of: every process, its command, how it says that it is ready, and in which order they start."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ninja

from config import data_directory
from config.embedded import redis
from config.embedded.postgres import SOCKET as POSTGRES_SOCKET
from config.embedded.postgres import EmbeddedPostgres
from config.environment import SERVICES, Environment
from config.supervisor import health
from config.supervisor.health import Probe
from mq.remoting import codec
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand

PROJECT: Final = Path(__file__).resolve().parents[2]
_PYTHON: Final = sys.executable
_MANAGE: Final = (_PYTHON, str(PROJECT / "manage.py"))

#: With the consumers' this stays below the embedded PostgreSQL's 200 connections.
_WEB_WORKERS: Final = 2
_WEB_THREADS: Final = 8
_WEB_POOL_SIZE: Final = 8

#: A client's first words when it would like TLS; over a unix socket the server always says N.
#: Source: PostgreSQL, "Message Formats", SSLRequest: i32 length, i32 code.
_MAY_I_ENCRYPT: Final = struct.pack(">ii", 8, 80877103)

#: The timers close unpaid orders; the sweeper only those whose timer was lost.
_SWEEP_SECONDS: Final = 600

#: A laptop's broker: small files, and questions about open transactions soon and without end (a message that was
#: asked about too often would be lost, and nobody may be there to answer while the shop restarts).
_BROKER_SETTINGS: Final = {
    "brokerName": "millrace",
    "vipChannelEnable": "false",
    "mappedFileSizeCommitLog": str(128 << 20),
    "transactionTimeOut": "3000",
    "transactionCheckInterval": "3000",
    "transactionCheckMax": "1000000",
    # A laptop's disk is often nine tenths full, and still has room for a shop.
    "diskMaxUsedSpaceRatio": "97",
    "diskSpaceCleanForciblyRatio": "98",
    "diskSpaceWarningLevelRatio": "99",
}


@dataclass(frozen=True)
class Part:
    """One process of the shop. Parts of a stage start together; a stage starts once the one before is ready."""

    name: str
    stage: int
    command: tuple[str, ...]
    address: str
    environment: Mapping[str, str]
    #: It is ready when it writes a line with this in it, or answers this; a task, when it ends with status 0.
    ready: str | Probe | None = None
    #: How it is asked from then on whether it is alive; without one it is while it runs and nobody has stopped it.
    alive: Probe | None = None
    #: Run before each start, in the supervisor.
    prepare: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    #: The project's, so that `python -m` finds its packages wherever the command was given.
    directory: Path = PROJECT
    unprivileged: bool = False

    @property
    def is_task(self) -> bool:
        return self.ready is None


@dataclass(frozen=True)
class Plan:
    """The parts to start, those that others run, and where people find the shop."""

    parts: tuple[Part, ...]
    external: Mapping[str, str]
    urls: Mapping[str, str]


def needed_ports(environment: Environment) -> list[str]:
    broker = [] if environment.mq_namesrv_addr else ["namesrv", "broker"]
    return [*broker, "web", "paysim", "staff"]


def plan(data: Path, environment: Environment, ports: Mapping[str, int]) -> Plan:
    """Everything that the shop in `data` needs and that no environment variable says is elsewhere."""
    sockets = data_directory.socket_directory(data)
    web, paysim, staff = (f"http://127.0.0.1:{ports[name]}" for name in ("web", "paysim", "staff"))
    namesrv = environment.mq_namesrv_addr or f"127.0.0.1:{ports['namesrv']}"
    shared = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.dev",
        "MILLRACE_DATA": str(data),
        "MILLRACE_CLOCK_OFFSET_FILE": str(data_directory.clock_offset_file(data)),
        "MILLRACE_LOG_LEVEL": "INFO",
        "MILLRACE_WEB_URL": web,
        "MILLRACE_PAYSIM_URL": paysim,
        "MQ_NAMESRV_ADDR": namesrv,
        "PYTHONUNBUFFERED": "1",
    }
    embedded_services = [service for service in SERVICES if environment.database_url(service) is None]
    parts = [
        *([_postgres(data, sockets, shared)] if embedded_services else []),
        *([] if environment.redis_url else [_redis(data, sockets, shared)]),
        *([] if environment.mq_namesrv_addr else [_broker(data, ports, shared)]),
        _paysim(data, paysim, ports["paysim"], shared),
        *([] if environment.shipsim_url else [_shipsim(data, sockets, shared)]),
        Part("setup", 2, (*_MANAGE, "setup"), "tables, topics, sample data", shared),
        _web(web, ports["web"], shared),
        _staff(staff, ports["staff"], shared),
        _consumers(data, shared),
        _sweeper(shared),
    ]
    external = {f"database of {service}": "DATABASE_URL" for service in SERVICES if service not in embedded_services}
    external |= {"redis": "REDIS_URL"} if environment.redis_url else {}
    external |= {"broker": namesrv} if environment.mq_namesrv_addr else {}
    return Plan(
        tuple(parts),
        external,
        {"shop": web, "api": f"{web}/api/docs", "cashier": paysim, "staff": staff, "namesrv": namesrv},
    )


def _postgres(data: Path, sockets: Path, environment: Mapping[str, str]) -> Part:
    server = EmbeddedPostgres(data / "postgres", sockets, {})
    return Part(
        "postgres",
        1,
        tuple(server.command()),
        str(sockets),
        environment,
        "database system is ready to accept connections",
        Probe(sockets / POSTGRES_SOCKET, _MAY_I_ENCRYPT, b"N"),
        prepare=server.initialize,
        stop_signal=signal.SIGINT,
        unprivileged=True,
    )


def _redis(data: Path, sockets: Path, environment: Mapping[str, str]) -> Part:
    command = tuple(redis.command(data / "redis", sockets))
    socket = sockets / "redis.sock"
    return Part("redis", 1, command, str(socket), environment, redis.READY, Probe(socket, b"PING\r\n", b"+PONG"))


def _broker(data: Path, ports: Mapping[str, int], environment: Mapping[str, str]) -> Part:
    settings = {**_BROKER_SETTINGS, "clockOffsetFile": str(data_directory.clock_offset_file(data))}
    command = (
        *(_PYTHON, "-m", "mq", "standalone", "--data", str(data / "mq")),
        *("--namesrv-port", str(ports["namesrv"]), "--broker-port", str(ports["broker"])),
        *(part for name, value in settings.items() for part in ("--set", f"{name}={value}")),
    )
    address = ("127.0.0.1", ports["broker"])
    question = codec.encode(RemotingCommand.request(RequestCode.GET_BROKER_RUNTIME_INFO))
    alive = Probe(address, question, b'{"code":')
    return Part("broker", 1, command, f"127.0.0.1:{ports['broker']}", environment, "ready namesrv=", alive)


def _paysim(data: Path, url: str, port: int, environment: Mapping[str, str]) -> Part:
    command = (
        *(_PYTHON, "-m", "paysim", "--data", str(data / "paysim"), "--port", str(port)),
        *("--keys", str(data / "keys"), "--clock-offset-file", str(data_directory.clock_offset_file(data))),
    )
    return Part("paysim", 1, command, url, environment, "ready paysim=", health.http(f"{url}/healthz"))


def _shipsim(data: Path, sockets: Path, environment: Mapping[str, str]) -> Part:
    socket = sockets / "shipsim.sock"
    command = (
        *(_PYTHON, "-m", "shipsim", "--data", str(data / "shipsim"), "--listen", f"unix:{socket}"),
        *("--clock-offset-file", str(data_directory.clock_offset_file(data))),
    )
    alive = Probe(socket, b"GET /healthz HTTP/1.0\r\n\r\n", b"HTTP/1.1 200")
    return Part("shipsim", 1, command, str(socket), environment, "ready shipsim=", alive)


def _consumers(data: Path, environment: Mapping[str, str]) -> Part:
    # One name per data directory: its successor takes over at once when it dies, and two shops may share a cluster.
    name = f"millrace-{hashlib.sha256(os.fsencode(data)).hexdigest()[:12]}"
    socket = data_directory.socket_directory(data) / "consume.sock"
    command = (*_MANAGE, "consume", "--instance-name", name, "--alive-socket", str(socket))
    alive = Probe(socket, b"", b"alive")
    return Part("consumers", 3, command, "all services", environment, "ready consuming", alive)


def _sweeper(environment: Mapping[str, str]) -> Part:
    command = (*_MANAGE, "sweep", "--every", str(_SWEEP_SECONDS))
    return Part("sweeper", 3, command, "orders", environment, "ready sweeping")


def _web(url: str, port: int, environment: Mapping[str, str]) -> Part:
    command = (
        *(_PYTHON, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(_WEB_WORKERS), "--blocking-threads", str(_WEB_THREADS), "--no-ws"),
        *("--static-path-route", "/static", "--static-path-mount", str(Path(ninja.__file__).parent / "static")),
        *("--respawn-failed-workers", "--workers-kill-timeout", "10s", "config.wsgi:application"),
    )
    return Part(
        "web",
        2,
        command,
        url,
        {**environment, "MILLRACE_DATABASE_POOL_SIZE": str(_WEB_POOL_SIZE)},
        health.http(f"{url}/readyz"),
        health.http(f"{url}/healthz"),
    )


def _staff(url: str, port: int, environment: Mapping[str, str]) -> Part:
    command = (
        *(_PYTHON, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"),
        *("--respawn-failed-workers", "--workers-kill-timeout", "10s", "config.wsgi:application"),
    )
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings.staff"}
    ready, alive = health.http(f"{url}/readyz"), health.http(f"{url}/healthz")
    return Part("staff", 3, command, url, {**environment, **settings}, ready, alive)
