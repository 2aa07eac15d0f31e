"""The official Java client, unchanged: the bundled broker and Apache RocketMQ must pass the same cases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import apache
from tests.interop.bundled import bundled_broker

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

#: Short levels and transaction checks, so that ten retries do not take an hour; the same for both brokers.
BROKER_KEYS = {
    "messageDelayLevel": "1s 2s " + "1s " * 15 + "1s",
    "transactionTimeOut": "4000",
    # Apache stores that a half message is finished up to 3 s later, and asks about it again until then.
    "transactionOpBatchInterval": "100",
    "transactionCheckInterval": "1000",
}
JUNIT = (
    "org.junit.platform.console.ConsoleLauncher",
    "execute",
    "--disable-banner",
    "--disable-ansi-colors",
    "--details=tree",
    "--config=junit.jupiter.execution.parallel.enabled=true",
    "--config=junit.jupiter.execution.parallel.mode.default=concurrent",
    "--config=junit.jupiter.execution.parallel.config.strategy=fixed",
    "--config=junit.jupiter.execution.parallel.config.fixed.parallelism=6",
)


@contextlib.contextmanager
def started(kind: str, folder: Path) -> Iterator[str]:
    start = apache.apache_rocketmq if kind == "apache" else bundled_broker
    with start(folder, BROKER_KEYS) as cluster:
        yield cluster.namesrv


@pytest.mark.parametrize("kind", ["bundled", "apache"])
def test_every_case_of_the_java_client_passes(kind: str, tmp_path: Path) -> None:
    apache.build()
    with started(kind, tmp_path) as namesrv:
        run = apache.java(
            *JUNIT,
            *(f"--select-class=millrace.{name}" for name in ("SendTest", "ConsumeTest", "TransactionTest")),
            jvm=(
                "-Xmx512m",
                f"-Dnamesrv={namesrv}",
                "-Dlevel2.ms=2000",
                "-Drocketmq.client.rebalance.waitInterval=1000",
                f"-Duser.home={tmp_path}",
            ),
            timeout_s=300,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "18 tests successful" in run.stdout
