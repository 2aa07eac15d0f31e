"""A command about a running shop works on that shop, and on no other."""

from __future__ import annotations

import pytest
from django.core.management import get_commands, load_command_class

from config.environment import SERVICES, environment
from config.supervisor.attach import NoShopRuns, attach

COMMANDS = {
    "seed": [],
    "verify": ["--drain", "0"],
    "parked": ["list"],
    "deliver": ["CUP", "1", "--receipt", "D-1"],
    "sweep": [],
}


@pytest.fixture(autouse=True)
def _fresh_environment():
    environment.cache_clear()
    yield
    environment.cache_clear()


class TestACommand:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_refuses_when_no_shop_runs_in_its_directory(self, tmp_path, name):
        command = load_command_class(get_commands()[name], name)

        with pytest.raises(NoShopRuns, match=f"No shop runs in {tmp_path}: start it with `manage.py up --data "):
            command.run_from_argv(["manage.py", name, *COMMANDS[name], "--data", str(tmp_path)])


class TestAttach:
    def test_needs_no_shop_when_all_servers_are_elsewhere(self, tmp_path, monkeypatch):
        for service in SERVICES:
            monkeypatch.setenv(f"DATABASE_URL_{service.upper()}", f"postgresql://db.example/{service}")
        monkeypatch.setenv("MQ_NAMESRV_ADDR", "mq.example:9876")

        attach(tmp_path)

    def test_needs_one_when_only_some_are(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MQ_NAMESRV_ADDR", "mq.example:9876")

        with pytest.raises(NoShopRuns):
            attach(tmp_path)
