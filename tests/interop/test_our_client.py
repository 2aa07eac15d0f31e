"""Our client, unchanged, on Apache RocketMQ: its own test suite again, with one parameter."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.interop.apache import PROJECT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(700)]


def test_the_client_suite_passes_on_apache_rocketmq() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "mq/client/tests", "--broker=apache", "-n", "2", "-m", "not nightly", "-ra"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=650,
        check=False,
    )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-10000:] + run.stderr[-2000:]
