"""The two sides of a comparison: brokers that run all the time, of which one stands still while the other is measured.

Standing still is SIGSTOP: an idle JVM still takes some percent of a core, and starting anew before every round would
measure brokers that are cold.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks import questions
from tests.interop import apache
from tests.interop.apache import Cluster
from tests.interop.bundled import bundled_broker

#: A resumed broker that its name server gave up in the meantime registers within ten seconds.
REGISTERED_WITHIN_S = 30.0
#: The default of both; the tests take smaller files.
_FILES = {"mappedFileSizeCommitLog": str(1 << 30)}
SYNC, ASYNC = _FILES | {"flushDiskType": "SYNC_FLUSH"}, _FILES | {"flushDiskType": "ASYNC_FLUSH"}
#: Apache answers in JSON unless told otherwise; the bundled broker answers as it was asked.
BINARY_ANSWERS = ("-Drocketmq.serialize.type=ROCKETMQ",)


class Opener(Protocol):
    """Starts a broker in a folder, on a new store or on the one that another left there."""

    def __call__(self, folder: Path, store: Path | None = None) -> AbstractContextManager[Side]: ...


class KilledOnPurpose(Exception):
    """Ends the block of a broker that was ended with SIGKILL, so that nobody looks at its exit status."""


class Side:
    """A running broker, with its name server, in a folder of its own."""

    def __init__(self, name: str, cluster: Cluster, folder: Path) -> None:
        self.name, self.cluster, self.folder = name, cluster, folder
        self._processes = [
            child
            for child in psutil.Process().children(recursive=True)
            if any(str(place) in word for place in (folder, cluster.store) for word in child.cmdline())
        ]
        (self._broker,) = [one for one in self._processes if _is_broker(one.cmdline())]

    @property
    def namesrv(self) -> str:
        return self.cluster.namesrv

    def cpu_seconds(self) -> float:
        """Of the broker's process, since its start."""
        times = self._broker.cpu_times()
        return float(times.user + times.system)

    def private_mb(self) -> float:
        """Anonymous memory of the broker's process: what nobody else can use."""
        for line in Path(f"/proc/{self._broker.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("this system does not tell how much anonymous memory a process has")

    def suspend(self) -> None:
        for process in self._processes:
            process.suspend()

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run inside, and be registered at its name server."""
        for process in self._processes:
            process.resume()
        deadline_s = time.monotonic() + REGISTERED_WITHIN_S
        while not questions.is_registered(self.namesrv):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"the broker did not come back to {self.namesrv}")
            time.sleep(0.1)
        try:
            yield
        finally:
            self.suspend()

    def kill(self) -> None:
        """End it at once; also what stands still."""
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def resume(self) -> None:
        for process in self._processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def bundled(keys: Mapping[str, str], name: str = "bundled") -> Opener:
    """The bundled broker, started as a user starts it."""

    @contextlib.contextmanager
    def opened(folder: Path, store: Path | None = None) -> Iterator[Side]:
        folder.mkdir(exist_ok=True)
        with bundled_broker(folder, keys, store=store) as cluster:
            side = Side(name, cluster, folder)
            try:
                yield side
            finally:
                side.resume()

    return opened


def apache_rocketmq(keys: Mapping[str, str], jvm: tuple[str, ...] = ()) -> Opener:
    """Apache RocketMQ; killed at the end, because its stop takes 10 to 25 seconds and nobody needs its files."""

    @contextlib.contextmanager
    def opened(folder: Path, store: Path | None = None) -> Iterator[Side]:
        folder.mkdir(exist_ok=True)
        with apache.apache_rocketmq(folder, keys, store=store, jvm=jvm) as cluster:
            side = Side("apache", cluster, folder)
            try:
                yield side
            finally:
                side.kill()

    return opened


def _is_broker(command: list[str]) -> bool:
    return any("BrokerStartup" in word or word == "standalone" for word in command)
