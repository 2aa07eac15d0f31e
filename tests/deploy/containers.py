"""docker-compose.yml without an engine: each container becomes a process, on this machine's loopback.

What a container is told (command, environment, health check) is taken from the file; only names that exist in its
world alone are replaced: hosts and ports by loopback and free ports, mounted folders by folders under `root`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from config import processes
from config.embedded import postgres, redis

PROJECT = Path(__file__).resolve().parents[2]
FILE = PROJECT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")
_PATIENCE_S = 90


def services() -> dict[str, dict[str, Any]]:
    read: dict[str, Any] = YAML(typ="safe").load(FILE)
    return dict(read["services"])


def variables(text: str) -> set[str]:
    return {match[1] for match in _VARIABLE.finditer(text)}


def bind_mounts(service: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Source beside the file, and place in the container."""
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    return [(mount[0], mount[1]) for mount in mounts if mount[0].startswith(".")]


class Machine:
    """What stands for the engine: `ports` by the number in the file, `secrets` as compose reads them from `.env`."""

    def __init__(self, root: Path, secrets_folder: Path, ports: Mapping[int, int]) -> None:
        self._root = root
        self._secrets_folder = secrets_folder
        self._ports = ports
        lines = (secrets_folder / ".env").read_text().splitlines()
        self.secrets = dict(line.split("=", 1) for line in lines)
        self._services = services()

    def environment(self, name: str) -> dict[str, str]:
        given = self._services[name].get("environment", {})
        return {key: self._here(name, str(value)) for key, value in given.items()}

    def command(self, name: str) -> list[str]:
        words = [self._here(name, word) for word in self._services[name]["command"]]
        return [sys.executable if word == "python" else word for word in words]

    @contextlib.contextmanager
    def running(self, name: str, command: list[str] | None = None, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A container, once its health check says so, until the block ends."""
        environment = {"PATH": os.environ["PATH"], **self.environment(name), **options.pop("env", {})}
        log = self._root / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command or self.command(name),
                **{**options, "env": environment, "stdout": output, "stderr": output, "cwd": PROJECT},
            )
        try:
            self._wait_until_healthy(name, process, environment)
            yield process
        finally:
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
            process.wait(30)

    def run(self, name: str) -> str:
        """A container that ends by itself, with status 0; what it said."""
        environment = {"PATH": os.environ["PATH"], **self.environment(name)}
        done = subprocess.run(
            self.command(name), env=environment, capture_output=True, text=True, timeout=120, cwd=PROJECT, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextlib.contextmanager
    def postgres(self) -> Iterator[None]:
        """The embedded server in the image's place: its own initdb, passwords over TCP, and our script run once."""
        server = postgres.EmbeddedPostgres(
            self._root / "postgres", self._root, {"listen_addresses": "127.0.0.1", "port": str(self._ports[5432])}
        )
        server.initialize()
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (server.directory / "pg_hba.conf").write_text(rules)
        folder = {"PGHOST": str(self._root), "PGPORT": str(self._ports[5432]), "POSTGRES_USER": "postgres"}
        environment = {**folder, "PATH": f"{postgres.binaries()}:{os.environ['PATH']}"}
        options = processes.options(unprivileged=True)
        options["env"] = {**(options.get("env") or {}), **environment}
        with self.running("postgres", server.command(), **options):
            for script in sorted((PROJECT / "deploy" / "postgres").iterdir()):
                given = self.environment("postgres") | environment
                subprocess.run([script], env=given, check=True, capture_output=True)
            yield

    def redis(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        words = self.command("redis")[1:]
        return self.running("redis", [str(redis.server()), *words, "--port", str(self._ports[6379])])

    # ---- one world's names in the other

    def _here(self, name: str, text: str) -> str:
        text = _VARIABLE.sub(lambda match: self.secrets[match[1]], text)
        folders = self._folders(name)
        places = "|".join(map(re.escape, folders))
        text = re.sub(rf"(?<![\w/])(?:{places})(?![\w.-])", lambda match: str(folders[match[0]]), text)
        text = re.sub(
            r"\b(?:postgres|redis|broker|paysim|shipsim|web)(?=:\d)|172\.31\.87\.10|0\.0\.0\.0", "127.0.0.1", text
        )
        return re.sub(r"(?:(?<=:)|(?<= )|^)\d{4,5}\b", lambda match: str(self._ports[int(match[0])]), text)

    def _folders(self, name: str) -> dict[str, Path]:
        """Where the container's places lie here: volumes are shared, everything else is its own."""
        found: dict[str, Path] = {}
        for mount in self._services[name].get("volumes", []):
            source, place, *_ = mount.split(":")
            generated = self._secrets_folder / source
            found[place] = self._root / source if "/" not in source else generated.resolve()
        for place in ("/tmp", "/data"):
            found.setdefault(place, self._root / f"{name}{place.replace('/', '-')}")
        for folder in found.values():
            if not folder.suffix:
                folder.mkdir(parents=True, exist_ok=True)
        return found

    def _wait_until_healthy(self, name: str, process: subprocess.Popen[bytes], environment: dict[str, str]) -> None:
        check = self._services[name].get("healthcheck")
        if check is None:
            return
        words = [self._here(name, word) for word in check["test"][1:]]
        words = [sys.executable if word == "python" else word for word in words]
        if words[0].endswith("-cli"):  # not in the wheel
            words = [
                sys.executable,
                "-c",
                f"import socket; socket.create_connection(('127.0.0.1', {self._ports[6379]}))",
            ]
        deadline_s = time.monotonic() + _PATIENCE_S
        while subprocess.run(words, env=environment, capture_output=True, check=False, cwd=PROJECT).returncode:
            log = (self._root / f"{name}.log").read_text()
            assert process.poll() is None, f"{name} ended: {log[-3000:]}"
            assert time.monotonic() < deadline_s, f"{name} is not healthy: {log[-3000:]}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
