"""A real Redis for tests: a process on a unix socket, ready in a moment, gone at the end."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from config.embedded import redis

_STOP_S = 10


class RedisProcess:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        self.url = f"unix://{directory}/redis.sock"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self.stop()

    def start(self) -> None:
        """Raises: RuntimeError: it stopped instead of getting ready."""
        command = redis.command(self._directory, self._directory)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        while redis.READY not in (line := self._process.stdout.readline()):
            if not line:
                raise RuntimeError(f"Redis stopped with {self._process.wait(_STOP_S)} before it was ready")

    def stop(self) -> None:
        """All that it knew is gone."""
        process, self._process = self._process, None
        assert process is not None, "Redis was not started"
        process.terminate()
        process.wait(_STOP_S)
        assert process.stdout is not None
        process.stdout.close()
