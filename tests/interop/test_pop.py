"""Consuming by POP: the official Java client, switched to it by the broker or asking itself, passes on both brokers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import apache
from tests.interop.bundled import bundled_broker
from tests.interop.java_client import JUNIT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
#: By night: what Apache answers here does not change, and its processes take minutes to start and stop.
APACHE = pytest.param("apache", marks=pytest.mark.nightly)


def play(kind: str, folder: Path, cases: int, *which: str, keys: dict[str, str] | None = None) -> None:
    apache.build()
    start = apache.apache_rocketmq if kind == "apache" else bundled_broker
    with start(folder, keys) as cluster:
        run = apache.java(
            *JUNIT,
            *which,
            jvm=(
                "-Xmx512m",
                f"-Dnamesrv={cluster.namesrv}",
                "-Drocketmq.client.rebalance.waitInterval=1000",
                f"-Duser.home={folder}",
            ),
            timeout_s=200,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert f"{cases} tests successful" in run.stdout


@pytest.mark.parametrize("kind", ["bundled", "apache"])
def test_every_case_of_the_java_client_passes(kind: str, tmp_path: Path) -> None:
    play(kind, tmp_path, 11, "--select-class=millrace.PopTest", "--select-class=millrace.PopRequestsTest")


@pytest.mark.parametrize("kind", ["bundled", APACHE])
def test_what_failed_comes_again_under_the_second_naming_of_retries(kind: str, tmp_path: Path) -> None:
    which = "--select-method=millrace.PopTest#whatFailedComesAgain"
    play(kind, tmp_path, 1, which, keys={"enableRetryTopicV2": "true"})
