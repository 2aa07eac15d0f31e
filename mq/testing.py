"""Real brokers for tests: one in this process in two lines, and one in a process of its own that may be killed.

```python
async with standalone(tmp_path) as mq, Producer("tests", namesrv=mq.namesrv) as producer:
    await producer.send(Message("T", b"hello"))
```
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from mq.broker.config import BrokerConfig
from mq.clock import Clock
from mq.standalone import Standalone, name_server_beside

#: Files small enough to be made, filled and thrown away by the hundred.
SMALL_FILES: Final[dict[str, Any]] = {
    "commit_log_file_bytes": 16 << 20,
    "consume_queue_file_bytes": 60_000,
    "index_slot_count": 5_000,
    "index_entry_count": 20_000,
}


@asynccontextmanager
async def standalone(root: Path, *, clock: Clock | None = None, **broker_config: Any) -> AsyncIterator[Standalone]:
    """A name server and a broker on free ports; `broker_config` are fields of `BrokerConfig`."""
    settings = {"broker_name": "broker-a", "listen_port": 0, "store_root": root, **SMALL_FILES, **broker_config}
    config = BrokerConfig(**settings)
    running = Standalone(name_server_beside(config, port=0), config, clock)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


class BrokerProcess:
    """`python -m mq standalone` as a process; after `kill` it may be started again, on the same files and ports.

    `settings` are RocketMQ's keys: `BrokerProcess(tmp_path, flushDiskType="ASYNC_FLUSH")`.
    """

    def __init__(self, root: Path, **settings: str | int) -> None:
        self.root = root
        self.settings = {"brokerName": "broker-a", "mappedFileSizeCommitLog": 16 << 20, **settings}
        self.namesrv = "127.0.0.1:0"
        self.broker_address = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self, timeout_s: float = 20.0) -> Self:
        """Start it and wait for its ready line.

        Raises: RuntimeError: it ended or said something else; its words are in the log beside the data.
        """
        command = [sys.executable, "-m", "mq", "standalone", "--data", str(self.root)]
        command += ["--namesrv-port", self.namesrv.rpartition(":")[2]]
        command += ["--broker-port", self.broker_address.rpartition(":")[2]]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        self.root.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self._first_line(timeout_s)
        if not line.startswith("ready "):
            self.kill()
            raise RuntimeError(f"no broker: {line!r}; {self._log.read_text()[-2000:]}")
        addresses = dict(word.split("=") for word in line.split()[1:])
        self.namesrv, self.broker_address = addresses["namesrv"], addresses["broker"]
        return self

    def kill(self) -> None:
        """Kill it with SIGKILL and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self, timeout_s: float = 20.0) -> int:
        """Stop it with SIGTERM; its exit status."""
        return self._end(signal.SIGTERM, timeout_s)

    def __enter__(self) -> Self:
        return self if self._process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    @property
    def _log(self) -> Path:
        return self.root.with_name(self.root.name + ".log")

    def _first_line(self, timeout_s: float) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline_s = time.monotonic() + timeout_s
        text = b""
        while not text.endswith(b"\n"):
            descriptor = self._process.stdout.fileno()
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline_s - time.monotonic()))
            chunk = os.read(descriptor, 1) if readable else b""
            if not chunk:
                break
            text += chunk
        return text.decode()

    def _end(self, signal_number: signal.Signals, timeout_s: float = 20.0) -> int:
        assert self._process is not None, "not started"
        self._process.send_signal(signal_number)
        status = self._process.wait(timeout_s)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status
