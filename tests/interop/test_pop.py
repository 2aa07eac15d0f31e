"""Consuming by POP: the official Java client, switched to it by the broker, passes the same cases on both brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import apache
from tests.interop.bundled import bundled_broker
from tests.interop.java_client import JUNIT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

CASES = 4


@pytest.mark.parametrize("kind", ["bundled", "apache"])
def test_every_case_of_the_java_client_passes(kind: str, tmp_path: Path) -> None:
    apache.build()
    start = apache.apache_rocketmq if kind == "apache" else bundled_broker
    with start(tmp_path) as cluster:
        run = apache.java(
            *JUNIT,
            "--select-class=millrace.PopTest",
            jvm=(
                "-Xmx512m",
                f"-Dnamesrv={cluster.namesrv}",
                "-Drocketmq.client.rebalance.waitInterval=1000",
                f"-Duser.home={tmp_path}",
            ),
            timeout_s=200,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert f"{CASES} tests successful" in run.stdout
