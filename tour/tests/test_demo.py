"""The tour itself, from a data directory that does not exist yet: what `make demo` runs, and all it promises."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
STEPS = (
    "Buy and pay",
    "The same message three times",
    "A coupon and some balance",
    "Unpaid for 24 hours",
    "Paid after it closed",
    "Out of stock",
)


def manage(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "manage.py"), *words]
    # As a person would call it: without the settings of the test suite.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT, env=environment, timeout=280
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestDemo:
    def test_is_all_green_and_leaves_nothing_running(self, tmp_path):
        (tmp_path / "shop").mkdir()
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.listen()
            port = stranger.getsockname()[1]
            (tmp_path / "shop" / "ports.json").write_text(json.dumps({"web": port}))
            tour = manage("demo", "--data", str(tmp_path / "shop"))

        assert tour.returncode == 0, tour.stdout + tour.stderr
        assert f"{port} already; the tour takes free ports from 20000 on" in tour.stdout
        for number, title in enumerate((*STEPS, "The broker dies", "There and back"), start=1):
            assert f"{number}  {title}" in tour.stdout
        assert "✗" not in tour.stdout
        assert "24 of 24 orders are PAID" in tour.stdout
        assert len(re.findall(r" holds\s*$", tour.stdout, re.MULTILINE)) == 13
        assert re.search(r"order-events +OrderPaid +M\w+ +queue \d, offset \d+", tour.stdout)
        assert manage("status", "--data", str(tmp_path / "shop")).returncode == 3
