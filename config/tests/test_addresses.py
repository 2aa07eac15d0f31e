from __future__ import annotations

import stat
from pathlib import Path

import pytest

from config import data_directory, databases
from config.environment import SERVICES, Environment
from config.supervisor import parts


class TestDatabaseUrl:
    def test_names_an_external_server(self):
        database = databases.from_url("postgresql://shop:p%40ss@db.example:5433/orders_1?sslmode=require")

        assert {name: database[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")} == {
            "NAME": "orders_1",
            "USER": "shop",
            "PASSWORD": "p@ss",
            "HOST": "db.example",
            "PORT": "5433",
        }
        assert database["OPTIONS"] == {"sslmode": "require"}

    def test_is_the_embedded_server_of_the_data_directory_by_default(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DATABASE_URL_PAYMENTS", "postgresql://pay@db.example/payments")

        found = databases.by_service(Environment(data=tmp_path))

        assert (found["orders"]["HOST"], found["orders"]["USER"]) == (str(tmp_path / "run"), "orders")
        assert (found["payments"]["HOST"], found["payments"]["USER"]) == ("db.example", "pay")
        assert found["default"] == {}


class TestSocketDirectory:
    def test_lies_in_the_data_directory(self, tmp_path):
        assert data_directory.socket_directory(tmp_path) == tmp_path / "run"

    def test_lies_elsewhere_when_the_path_is_too_long_for_a_socket(self):
        deep = Path("/tmp") / ("d" * 120)

        found = data_directory.socket_directory(deep)

        assert len(str(found / ".s.PGSQL.5432")) < 100
        assert found == data_directory.socket_directory(deep) != data_directory.socket_directory(deep / "other")


class TestMakePrivate:
    def test_closes_a_directory_to_others(self, tmp_path):
        (tmp_path / "open").mkdir(mode=0o755)

        data_directory.make_private(tmp_path / "open")

        assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o700

    def test_does_not_touch_what_somebody_put_in_its_place(self, tmp_path):
        (tmp_path / "theirs").mkdir(mode=0o755)
        (tmp_path / "run").symlink_to(tmp_path / "theirs")

        with pytest.raises(PermissionError, match="not a directory of this user"):
            data_directory.make_private(tmp_path / "run")

        assert stat.S_IMODE((tmp_path / "theirs").stat().st_mode) == 0o755


class TestSecretKey:
    def test_is_made_once_and_for_this_user_only(self, tmp_path):
        first = data_directory.secret_key(tmp_path / "shop")

        assert data_directory.secret_key(tmp_path / "shop") == first
        assert len(first) >= 50
        assert (tmp_path / "shop" / "secret").stat().st_mode & 0o077 == 0
        assert [path.name for path in (tmp_path / "shop").iterdir()] == ["secret"]


PORTS = {"namesrv": 1, "broker": 2, "web": 3, "paysim": 4, "staff": 5}


class TestPlan:
    @pytest.fixture(autouse=True)
    def _nothing_elsewhere(self, monkeypatch):
        for name in ("REDIS_URL", "MQ_NAMESRV_ADDR", *(f"DATABASE_URL_{service.upper()}" for service in SERVICES)):
            monkeypatch.delenv(name, raising=False)

    def names(self, environment):
        plan = parts.plan(environment.data, environment, PORTS)
        return [part.name for part in plan.parts], dict(plan.external)

    def test_starts_everything_by_default(self, tmp_path):
        names, external = self.names(Environment(data=tmp_path))

        assert names == [
            "postgres",
            "redis",
            "broker",
            "paysim",
            "shipsim",
            "setup",
            "web",
            "staff",
            "consumers",
            "sweeper",
        ]
        assert external == {}

    def test_starts_nothing_that_the_environment_says_is_elsewhere(self, tmp_path, monkeypatch):
        for service in SERVICES:
            monkeypatch.setenv(f"DATABASE_URL_{service.upper()}", f"postgresql://db.example/{service}")
        monkeypatch.setenv("REDIS_URL", "redis://cache.example")
        monkeypatch.setenv("MQ_NAMESRV_ADDR", "mq.example:9876")

        names, external = self.names(Environment(data=tmp_path))

        assert names == ["paysim", "shipsim", "setup", "web", "staff", "consumers", "sweeper"]
        assert external["broker"] == "mq.example:9876"
        assert parts.needed_ports(Environment(data=tmp_path)) == ["web", "paysim", "staff"]

    def test_starts_postgresql_while_one_service_needs_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DATABASE_URL_ORDERS", "postgresql://db.example/orders")

        names, external = self.names(Environment(data=tmp_path))

        assert "postgres" in names
        assert external == {"database of orders": "DATABASE_URL"}

    def test_passes_no_password_on_a_command_line(self, tmp_path, monkeypatch):
        monkeypatch.setenv("DATABASE_URL_ORDERS", "postgresql://u:hunter2@db.example/orders")
        environment = Environment(data=tmp_path)

        plan = parts.plan(tmp_path, environment, PORTS)

        assert not any("hunter2" in word for part in plan.parts for word in part.command)
