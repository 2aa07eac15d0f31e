"""Addresses of the databases: from `DATABASE_URL_<SERVICE>`, else the embedded PostgreSQL of the data directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from config.data_directory import socket_directory
from config.environment import SERVICES, Environment


def by_service(environment: Environment) -> dict[str, dict[str, Any]]:
    """Django's DATABASES: one alias per service, and an empty default that makes forgetting the alias an error."""
    embedded = f"postgresql:///{{service}}?host={socket_directory(environment.data)}&user={{service}}"
    return {"default": {}} | {
        service: from_url(
            environment.database_url(service) or embedded.format(service=service),
            pool_size=environment.database_pool_size,
        )
        for service in SERVICES
    }


def from_url(url: str, *, pool_size: int = 0) -> dict[str, Any]:
    """One entry of DATABASES, from an address that `Environment` has checked."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or "") or options.pop("user", ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or options.pop("host", ""),
        "PORT": str(parts.port or options.pop("port", "")),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**options, **({"pool": _pool(pool_size)} if pool_size else {})},
    }


def _pool(size: int) -> dict[str, int]:
    # In seconds. A request that gets no connection soon says so: waiting longer would only keep a thread from others.
    # And an attempt to connect gives up as soon, so that the next request begins a new one, and finds a server that is
    # back at once; psycopg would go on with this one, at distances that double up to minutes.
    return {"min_size": 0, "max_size": size, "timeout": 1, "reconnect_timeout": 1}


def embedded_shipsim_url(data: Path) -> str:
    return f"unix://{socket_directory(data)}/shipsim.sock"


def embedded_redis_url(data: Path) -> str:
    return f"unix://{socket_directory(data)}/redis.sock"
