"""Variables that make no sense end a command with a sentence about them, whichever command it is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from config.environment import environment
from config.errors import BadEnvironment
from config.supervisor.parts import PROJECT


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def _fresh(self):
        environment.cache_clear()
        yield
        environment.cache_clear()

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("MILLRACE_PAYMENT_WINDOW", "5", "such as 00:30:00"),
            ("MILLRACE_PAYMENT_WINDOW", "00:00:05", "from 10 seconds to 3 days"),
            ("MILLRACE_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
            ("MQ_NAMESRV_ADDR", "foo", "expected host:port"),
            ("MQ_NAMESRV_ADDR", "127.0.0.1:9876;foo:99999", "expected host:port"),
            ("REDIS_URL", "cache.example:6379", "expected redis://"),
            ("DATABASE_URL_ORDERS", "mysql://u:secret@h/orders", "expected postgresql://"),
            ("DATABASE_URL_ORDERS", "postgresql://u:secret@h", "expected postgresql://"),
            ("DATABASE_URL_ORDERS", "postgresql://u:sec/ret@h/orders", "expected postgresql://"),
            ("DATABASE_URL_ORDERS", "orders", "expected postgresql://"),
        ],
    )
    def test_names_the_variable_that_makes_no_sense_but_not_its_value(self, monkeypatch, name, value, expected):
        monkeypatch.setenv(name, value)

        with pytest.raises(BadEnvironment, match=f"The environment variable {name} makes no sense: .*{expected}") as no:
            environment()

        assert "sec" not in str(no.value).replace("seconds", "")

    def test_takes_several_name_servers(self, monkeypatch):
        monkeypatch.setenv("MQ_NAMESRV_ADDR", "mq-1.example:9876; mq-2.example:9876")

        assert environment().mq_namesrv_addr == "mq-1.example:9876; mq-2.example:9876"


def test_a_command_says_it_in_a_line_and_ends_with_3():
    variables = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    variables |= {"MILLRACE_PAYMENT_WINDOW": "5", "MQ_NAMESRV_ADDR": "foo"}
    done = subprocess.run(
        [sys.executable, PROJECT / "manage.py", "status"], capture_output=True, text=True, check=False, env=variables
    )

    assert done.returncode == 3
    assert [line.split()[3] for line in done.stderr.splitlines()] == ["MILLRACE_PAYMENT_WINDOW", "MQ_NAMESRV_ADDR"]
