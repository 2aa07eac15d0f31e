"""A real warehouse and a real carrier for tests: a process on a unix socket, ready in a moment, gone at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

_STOP_S = 10


class ShipsimProcess:
    def __init__(self, directory: Path, *, clock_offset_file: Path | None = None) -> None:
        self.data = directory / "shipsim"
        self.socket = directory / "shipsim.sock"
        self.url = f"unix://{self.socket}"
        self._clock_offset_file = clock_offset_file
        self._process: subprocess.Popen[str] | None = None
        transport = httpx.HTTPTransport(uds=str(self.socket))
        self.http = httpx.Client(base_url="http://shipsim", transport=transport, timeout=5, trust_env=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self.stop()
        self.http.close()

    def start(self) -> None:
        """Raises: RuntimeError: it stopped instead of getting ready."""
        command = [sys.executable, "-m", "shipsim", "--data", str(self.data), "--listen", f"unix:{self.socket}"]
        if self._clock_offset_file is not None:
            command += ["--clock-offset-file", str(self._clock_offset_file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError(f"shipsim stopped with {self.wait()} before it was ready: {line!r}")

    def stop(self) -> int:
        """Stop it as the supervisor does, and return its exit code."""
        assert self._process is not None, "shipsim was not started"
        self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has stopped by itself; its exit code."""
        process, self._process = self._process, None
        assert process is not None, "shipsim was not started"
        code = process.wait(_STOP_S)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def fault(self, party: str, kind: str, *, count: int = 1, argument: int = 0) -> None:
        body: dict[str, Any] = {"party": party, "kind": kind, "count": count, "argument": argument}
        self.http.post("/faults", json=body).raise_for_status()

    def heal(self) -> None:
        self.http.delete("/faults").raise_for_status()
