"""Apache RocketMQ 5.3.3 as processes: one name server, one broker, from the jars that Maven brought.

Everything lies in one folder: the configuration files, `store/` (storePathRootDir) and the logs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mq.client import Admin
from tests.interop import maven

PROJECT = maven.PROJECT
CLASSPATH = maven.V5.classpath
build = maven.V5.build
java = maven.V5.java
#: Small heaps: two JVMs and the system under test share two cores and the page cache.
NAMESRV_JVM = ("-Xms128m", "-Xmx128m", "-XX:+UseSerialGC")
BROKER_JVM = ("-Xms1g", "-Xmx1g", "-XX:MaxDirectMemorySize=1g", "-XX:+UseG1GC", "-XX:ParallelGCThreads=2")
START_SECONDS = 60
#: What both kinds of broker get. Files of 64 MiB in place of 1 GiB, because a dozen brokers' folders are kept until the
#: end of a run, and at 90 % of the disk a broker refuses messages. And 200 ms of waiting and a send is refused: what is
#: judged here is not who gets how much of a shared machine.
BOTH = {"brokerName": "broker-a", "mappedFileSizeCommitLog": str(64 << 20), "waitTimeMillsInSendQueue": "5000"}


@dataclass(frozen=True)
class Cluster:
    """Where a name server and its broker listen, and where the broker keeps its store."""

    namesrv: str
    broker: str
    store: Path


_chance = random.SystemRandom()


def free_ports(spacing: int = 1) -> int:
    """A port that is free together with its neighbors `port - 2 .. port + spacing`.

    Below those that the system gives to connections: one of these may be taken before the port is listened on.
    """
    while True:
        port = _chance.randrange(20_000, 32_000)
        with contextlib.ExitStack() as sockets:
            try:
                for neighbor in range(-2, spacing + 1):
                    sockets.enter_context(socket.create_server(("127.0.0.1", port + neighbor)))
            except OSError:
                continue
            return port


@contextlib.contextmanager
def apache_rocketmq(
    folder: Path,
    keys: Mapping[str, str] | None = None,
    *,
    store: Path | None = None,
    jvm: tuple[str, ...] = (),
) -> Iterator[Cluster]:
    """Start a name server and a broker, wait until the broker is registered, and stop both at the end.

    `store` opens an existing store directory in place of a new one; `keys` go into the broker's configuration, `jvm` to
    its JVM.
    """
    build()
    store = store or folder / "store"
    namesrv_port, broker_port = free_ports(), free_ports()
    namesrv, broker = f"127.0.0.1:{namesrv_port}", f"127.0.0.1:{broker_port}"
    lines = {
        "brokerClusterName": "DefaultCluster",
        "brokerId": "0",
        "brokerRole": "ASYNC_MASTER",
        "flushDiskType": "ASYNC_FLUSH",
        "namesrvAddr": namesrv,
        "brokerIP1": "127.0.0.1",
        "bindAddress": "127.0.0.1",
        "listenPort": str(broker_port),
        "storePathRootDir": str(store),
        "autoCreateTopicEnable": "true",
        "registerNameServerPeriod": "10000",
    }
    lines |= BOTH | dict(keys or {})
    (folder / "namesrv.conf").write_text(f"listenPort={namesrv_port}\nbindAddress=127.0.0.1\n")
    (folder / "broker.conf").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    with contextlib.ExitStack() as processes:
        for name, flags, main in (
            ("namesrv", NAMESRV_JVM, "org.apache.rocketmq.namesrv.NamesrvStartup"),
            ("broker", BROKER_JVM + jvm, "org.apache.rocketmq.broker.BrokerStartup"),
        ):
            log = processes.enter_context((folder / f"{name}.out").open("w+"))
            home = f"-Duser.home={folder / name}"
            command = ["java", *flags, home, "-cp", CLASSPATH, main, "-c", str(folder / f"{name}.conf")]
            process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"ROCKETMQ_HOME": str(folder)})
            processes.callback(_stop, process)
            _wait_for_boot(process, folder / f"{name}.out")
        _wait_until_registered(process, namesrv)
        yield Cluster(namesrv, broker, store)


def _wait_for_boot(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "boot success" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Apache RocketMQ did not start; its output:\n{log.read_text()}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def _wait_until_registered(process: subprocess.Popen[bytes], namesrv: str) -> None:
    """A broker says "boot success" whether or not its first registration went through; the next one follows in 10 s."""
    deadline = time.monotonic() + START_SECONDS
    while not _brokers(namesrv):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the broker did not register at {namesrv}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)


def _brokers(namesrv: str) -> Collection[str]:
    """Asked in a thread with a loop of its own, because the test may be running one."""

    async def ask() -> Collection[str]:
        async with Admin(namesrv=namesrv) as admin:
            return await admin.brokers()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(ask())).result()


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
