"""Our client, unchanged, on Apache RocketMQ: its own test suite again, told where the real name server is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop import apache

pytestmark = [pytest.mark.interop, pytest.mark.timeout(500)]

#: What the suite gives its own broker; Apache would gather finished half messages for 3 s before it stores that.
BROKER_KEYS = {
    "messageDelayLevel": "1s " * 17 + "1s",
    "transactionTimeOut": "300",
    "transactionCheckInterval": "200",
    "transactionOpBatchInterval": "100",
    "enablePropertyFilter": "true",
}


def test_the_client_suite_passes_on_apache_rocketmq(tmp_path: Path) -> None:
    with apache.apache_rocketmq(tmp_path, BROKER_KEYS) as cluster:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "mq/client/tests", "-n", "2", "-m", "not nightly", "-ra"],
            cwd=apache.PROJECT,
            env=os.environ | {"MQ_TEST_NAMESRV": cluster.namesrv},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-10000:] + run.stderr[-2000:]
