"""docker-compose.yml: what it names exists, it gives away nothing, and the shop it describes takes the tour."""

from __future__ import annotations

import contextlib
import json
import random
import re
import stat
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from rich.console import Console

from config import sample_data
from config.environment import SERVICES
from config.supervisor.ports import is_free
from tests.deploy.containers import FILE, PROJECT, Machine, bind_mounts, services, variables
from tour.broker import Broker
from tour.buyer import Buyer
from tour.cashier import Cashier
from tour.guide import Guide
from tour.steps.buying import buy_and_pay, deliver_three_times
from tour.steps.ending import order_too_many, pay_too_late
from tour.story import Story

every_service = pytest.mark.parametrize("name", services())


@pytest.fixture(scope="module")
def secrets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([sys.executable, PROJECT / "deploy/make_secrets.py", "--directory", folder], check=True)
    return folder


def test_is_what_the_schema_of_compose_allows() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(FILE)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_every_secret_is_made_by_the_script_and_by_nobody_else(secrets_folder: Path) -> None:
    made = {line.partition("=")[0] for line in (secrets_folder / ".env").read_text().splitlines()}

    assert variables(FILE.read_text()) == made


def test_secrets_are_random_private_and_never_replaced(secrets_folder: Path) -> None:
    files = [secrets_folder / ".env", secrets_folder / "deploy/secrets/plain_acl.yml"]
    before = [file.read_text() for file in files]

    command = [sys.executable, str(PROJECT / "deploy/make_secrets.py"), "--directory", str(secrets_folder)]
    again = subprocess.run(command, capture_output=True, text=True, check=False)

    assert again.returncode == 1
    assert [file.read_text() for file in files] == before
    assert not any(file.stat().st_mode & stat.S_IRWXO for file in files)
    values = [line.partition("=")[2] for line in before[0].splitlines()]
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 32


@every_service
def test_what_it_mounts_and_runs_exists(name: str, secrets_folder: Path) -> None:
    service = services()[name]
    for source, _ in bind_mounts(service):
        assert (PROJECT / source).exists() or (secrets_folder / source).exists(), source
    match service.get("command"):
        case ["python", "manage.py", command, *_]:
            assert command in get_commands()
        case ["python", "-m", module, *_]:
            assert find_spec(module)


@every_service
def test_it_runs_a_pinned_image_as_nobody_and_only_loopback_reaches_it(name: str) -> None:
    service = services()[name]
    image = service["image"]
    assert image == "millrace:local" or re.search(r":\d+\.\d+(\.\d+)?(-\w+)?$", image)
    assert name == "postgres" or (service["user"].split(":")[0] != "0" and service["read_only"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "healthcheck" in service or name in ("setup", "sweeper", "verify")


@pytest.mark.parametrize("service", SERVICES)
def test_a_consumer_knows_the_database_of_its_service_only(service: str) -> None:
    consumer = services()[f"consume-{service}"]

    assert consumer["command"][:4] == ["python", "manage.py", "consume", service]
    addresses = {name for name in consumer["environment"] if name.startswith("DATABASE_URL")}
    assert addresses == {f"DATABASE_URL_{service.upper()}"}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_shop_it_describes_takes_the_tour(
    secrets_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp("shop")  # a short name, as the path of a unix socket ends at 107 bytes
    root.chmod(0o755)
    machine = Machine(root, secrets_folder, _free_ports((5432, 6379, 8000, 8001, 8002, 8003, 9876, 10911)))
    with contextlib.ExitStack() as shop:
        shop.enter_context(machine.postgres())
        for name in ("broker", "paysim", "shipsim"):
            shop.enter_context(machine.running(name))
        shop.enter_context(machine.redis())
        machine.run("setup")
        for name in ("web", "staff", *(f"consume-{service}" for service in SERVICES), "sweeper"):
            shop.enter_context(machine.running(name))

        failures = _tour(machine, monkeypatch)
        verdict = machine.run("verify")

    assert failures == []
    print(verdict)


def _tour(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps that need neither a movable clock nor a supervisor."""
    environment = machine.environment("verify")
    for name in ("MQ_ACCESS_KEY", "MQ_SECRET_KEY"):
        monkeypatch.setenv(name, environment[name])
    web, paysim = machine.environment("web")["MILLRACE_WEB_URL"], environment["MILLRACE_PAYSIM_URL"]
    data = Path(environment["MILLRACE_DATA"])
    logins: dict[str, Any] = json.loads(sample_data.logins_file(data).read_text())
    with contextlib.ExitStack() as people, Broker(environment["MQ_NAMESRV_ADDR"]) as broker:
        buyers = {name: Buyer(name, password, shop_url=web) for name, password in logins.items()}
        cashier = Cashier(paysim)
        for close in (cashier.close, *(buyer.close for buyer in buyers.values())):
            people.callback(close)
        story = Story(Console(file=StringIO()))
        guide = Guide(story, data, buyers, cashier, broker)
        for number, step in enumerate((buy_and_pay, deliver_three_times, pay_too_late, order_too_many), start=1):
            step(guide, number)
    return story.failures


def _free_ports(wanted: Iterable[int]) -> dict[int, int]:
    """Below those that the system gives to connections, which may be taken before somebody listens there."""
    chance = random.SystemRandom()
    candidates = iter(lambda: chance.randrange(20_000, 32_000), None)
    return {number: next(port for port in candidates if is_free(port)) for number in wanted}
