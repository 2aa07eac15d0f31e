"""A real payment company for tests: a process on a free port, ready in about a second, gone at the end.

with PaysimProcess(tmp_path) as paysim:
    paysim.fault("drop", out_trade_no="RETRO-CLOCK-1")
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

_START_S = 15


class PaysimProcess:
    def __init__(self, directory: Path, *, clock_offset_file: Path | None = None) -> None:
        self.data = directory / "paysim"
        self.keys = directory / "keys"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._clock_offset_file = clock_offset_file
        self._process: subprocess.Popen[str] | None = None
        self.http = httpx.Client(base_url=self.url, timeout=5, trust_env=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self.http.close()

    def start(self) -> None:
        """Raises: RuntimeError: it stopped instead of getting ready; what it said is in the sentence."""
        environment = {name: value for name, value in os.environ.items() if name != "MILLRACE_CLOCK_OFFSET_FILE"}
        command = [sys.executable, "-m", "paysim"]
        command += ["--data", str(self.data), "--keys", str(self.keys), "--port", str(self.port)]
        if self._clock_offset_file is not None:
            command += ["--clock-offset-file", str(self._clock_offset_file)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("ready "):
            raise RuntimeError(f"paysim stopped with {self._process.wait(_START_S)} before it was ready: {line!r}")

    def stop(self) -> int:
        """Stop it as the supervisor does, and return its exit code."""
        process = self._running()
        process.terminate()
        return self._finish(process)

    def kill(self) -> None:
        """What a power cut does to it."""
        process = self._running()
        process.kill()
        self._finish(process)

    def fault(self, kind: str, *, out_trade_no: str = "", count: int = 1, argument: int | None = None) -> None:
        body = {"kind": kind, "out_trade_no": out_trade_no, "count": count, "argument": argument}
        self.http.post("/faults", json=body).raise_for_status()

    def visit(self, cashier_url: str) -> dict[str, str]:
        """Open the cashier as a script does; `token` in the answer is needed for the buttons."""
        answer = self.http.get(cashier_url, headers={"Accept": "application/json"})
        return dict(answer.raise_for_status().json())

    def press(self, token: str, outcome: str = "pay") -> httpx.Response:
        body = {"token": token, "outcome": outcome}
        return self.http.post("/cashier/pay", json=body, headers={"Accept": "application/json"})

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "paysim was not started"
        return self._process

    def _finish(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(_START_S)
        assert process.stdout is not None
        process.stdout.close()
        return code


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
