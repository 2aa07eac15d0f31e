"""The whole shop as people start it: `manage.py up`, real processes, real signals, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from config.environment import Environment
from config.supervisor import instance, launch, parts, report, state
from config.supervisor.parts import PROJECT

#: One worker of pytest-xdist runs all of these, one after the other: two shops at once are too much for two cores.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop"), pytest.mark.timeout(180)]


class Shop:
    def __init__(self, data: Path, base_port: int) -> None:
        self.data = data
        self.base_port = base_port

    def manage(self, *arguments: str, **changes: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(PROJECT / "manage.py"), *arguments, "--data", str(self.data)]
        environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        # From a strange place: nobody has to be in the project's directory.
        return subprocess.run(
            command, capture_output=True, text=True, env={**environment, **changes}, timeout=120, cwd=self.data.parent
        )

    def up(self) -> dict[str, Any]:
        done = self.manage("up", "--json", "--base-port", str(self.base_port))
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def status(self) -> dict[str, Any]:
        """What `manage.py status --json` prints, without a second of starting it: tests ask often."""
        now = state.read(self.data)
        assert now is not None
        return report.as_json(now)

    def process(self, name: str) -> dict[str, Any]:
        return next(one for one in self.status()["processes"] if one["name"] == name)

    def wait_for(self, name: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline_s = time.monotonic() + 60
        while not is_so(found := self.process(name)):
            assert time.monotonic() < deadline_s, found
        return found

    def serves_again(self) -> bool:
        """Whether the web processes, too, have found back to whatever was away."""
        ready_url = f"{self.status()['urls']['shop']}/readyz"
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(ready_url).status_code == 200:
                    return True
        return False

    def everybody(self) -> list[psutil.Process]:
        """The supervisor and all its descendants, as the system sees them."""
        supervisor = psutil.Process(self.status()["supervisor"]["pid"])
        return [supervisor, *supervisor.children(recursive=True)]


def still_alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """A zombie has ended; it only waits for a parent to look."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def listening_on(process: psutil.Process) -> set[str]:
    """Of a process that may have ended by now: PostgreSQL's come and go."""
    try:
        sockets = process.net_connections(kind="inet")
    except psutil.NoSuchProcess:
        return set()
    return {one.laddr[0] for one in sockets if one.status == psutil.CONN_LISTEN}


def free_base_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 65_000)


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop") / "data", free_base_port())
    yield shop
    shop.manage("down")


@pytest.fixture
def running(shop: Shop) -> Shop:
    """The shop of this module, started again if the test before ended it."""
    if not instance.is_in_use(shop.data):
        shop.up()
    return shop


class TestUp:
    def test_leaves_a_shop_that_answers(self, running):
        now = json.loads(running.manage("status", "--json").stdout)

        assert now == running.status()
        assert now["phase"] == "ready"
        assert {one["name"]: one["health"] for one in now["processes"]} == {
            "postgres": "healthy", "redis": "healthy", "broker": "healthy", "paysim": "healthy", "shipsim": "healthy",
            "setup": "done", "web": "healthy", "staff": "healthy", "consumers": "healthy", "sweeper": "healthy",
        }  # fmt: skip
        assert httpx.get(f"{now['urls']['shop']}/readyz").json() == {"status": "ok", "down": []}

    def test_names_addresses_that_lead_somewhere(self, running):
        urls = running.status()["urls"]
        host, _, port = urls.pop("namesrv").partition(":")
        socket.create_connection((host, int(port))).close()
        pages = {name: httpx.get(url, follow_redirects=True) for name, url in urls.items()}

        assert set(pages) == {"shop", "api", "cashier", "staff"}
        assert {page.status_code for page in pages.values()} == {200}
        loaded = re.findall(r'(?:src|href)="(/[^"]+)"', pages["api"].text)
        assert len(loaded) >= 3
        assert {httpx.get(urls["shop"] + path).status_code for path in loaded} == {200}

    def test_keeps_the_data_directory_to_itself(self, running):
        modes = {
            name: stat.S_IMODE((running.data / name).stat().st_mode) for name in (".", "secret", "run", "postgres")
        }

        assert modes == {".": 0o700, "secret": 0o600, "run": 0o700, "postgres": 0o700}

    def test_listens_on_loopback_only(self, running):
        addresses = {address for process in running.everybody() for address in listening_on(process)}

        assert addresses == {"127.0.0.1"}

    def test_stays_within_its_memory(self, running):
        """Private memory: what would be free again if it all ended; shared pages count once, with their first user."""
        assert sum(process.memory_full_info().uss for process in running.everybody()) < 700 * 2**20

    def test_refuses_a_second_shop_on_the_same_directory(self, running):
        done = running.manage("up")

        assert done.returncode == 3
        assert "already runs (supervisor pid" in done.stderr
        assert "manage.py down" in done.stderr

    def test_refuses_a_port_that_is_taken_and_names_who_has_it(self, tmp_path):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            remembered = {"namesrv": 0, "broker": 0, "web": port, "paysim": 0, "staff": 0}
            (tmp_path / "ports.json").write_text(json.dumps(remembered))
            done = Shop(tmp_path, 0).manage("up")

        assert done.returncode == 3
        assert f"Port {port} (web) is taken by " in done.stderr
        assert f"(pid {os.getpid()})" in done.stderr
        assert "--base-port" in done.stderr
        assert len(done.stderr.splitlines()) == 1


class TestWhileItRuns:
    @pytest.mark.parametrize("name", ["web", "broker", "consumers", "postgres"])
    def test_a_killed_process_comes_back(self, running, name):
        before = running.process(name)
        os.kill(before["pid"], signal.SIGKILL)

        after = running.wait_for(name, lambda now: now["restarts"] > before["restarts"] and now["health"] == "healthy")

        assert after["pid"] != before["pid"]
        assert f"{name} ended (killed by SIGKILL)" in (running.data / "logs" / "supervisor.log").read_text()
        assert running.serves_again()

    def test_time_travels(self, running):
        done = running.manage("time-travel", "24h")

        assert done.returncode == 0, done.stderr
        assert "1 day, 0:00:00 ahead" in done.stdout

    def test_shows_its_logs(self, running):
        done = running.manage("logs", "web", "-n", "1000")

        assert "Listening at" in done.stdout

    def test_each_part_shows_life_until_it_is_stopped(self, running):
        chosen = json.loads((running.data / "ports.json").read_text())
        plan = parts.plan(running.data, Environment(data=running.data), chosen)
        probes = {part.name: part.alive for part in plan.parts if part.alive is not None}
        assert set(probes) == {"postgres", "redis", "broker", "paysim", "shipsim", "web", "staff", "consumers"}

        async def who_answers() -> set[str]:
            answers = await asyncio.gather(*(probe.succeeds(timeout_s=1.0) for probe in probes.values()))
            return {name for name, answer in zip(probes, answers, strict=True) if answer}

        processes = [psutil.Process(running.process(name)["pid"]) for name in probes]
        processes += [child for process in processes for child in process.children(recursive=True)]
        assert asyncio.run(who_answers()) == set(probes)
        for process in processes:
            process.suspend()
        try:
            assert asyncio.run(who_answers()) == set()
        finally:
            for process in processes:
                process.resume()
        running.wait_for("sweeper", lambda now: now["health"] == "healthy")
        assert running.serves_again()

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            (("seed",), "0 articles are new."),
            (("parked", "list"), "Nothing is parked."),
        ],
    )
    def test_a_command_finds_it_by_its_directory_alone(self, running, command, said):
        done = running.manage(*command)

        assert done.returncode == 0, done.stderr
        assert said in done.stdout


class TestAKilledSupervisor:
    def test_leaves_no_orphan(self, running):
        everybody = running.everybody()
        os.kill(everybody[0].pid, signal.SIGKILL)

        psutil.wait_procs(everybody, timeout=30)

        assert still_alive(everybody) == []


class TestAStart:
    @pytest.fixture
    def starting(self, shop) -> Iterator[subprocess.Popen[str]]:
        launch.stop(shop.data)
        command = [sys.executable, str(PROJECT / "manage.py"), "up", "--data", str(shop.data)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline_s = time.monotonic() + 30
        while (now := state.read(shop.data)) is None or now.phase != "starting" or not now.supervisor.is_alive():
            assert time.monotonic() < deadline_s, now
            time.sleep(0.02)
        yield process
        process.wait(30)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_that_is_interrupted_leaves_nothing_running(self, shop, starting, number):
        starting.send_signal(number)
        _, said = starting.communicate(timeout=60)

        assert starting.returncode == 130
        assert said.splitlines()[-1] == "Stopped before the shop was open; nothing of it is left running."
        assert "Traceback" not in said
        assert not instance.is_in_use(shop.data)

    def test_says_that_somebody_else_stopped_the_shop(self, shop, starting):
        launch.stop(shop.data)
        _, said = starting.communicate(timeout=60)

        assert starting.returncode == 3
        assert said.splitlines()[-1] == f"The shop in {shop.data} was told to stop while it was starting."
        assert not instance.is_in_use(shop.data)


class TestTheEnd:
    def test_comes_cleanly_after_ctrl_c_in_the_foreground(self, shop):
        launch.stop(shop.data)
        command = [sys.executable, str(PROJECT / "manage.py"), "up", "--foreground", "--data", str(shop.data)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "the shop is ready" in line:
                break
        everybody = shop.everybody()
        process.send_signal(signal.SIGINT)
        with process.stdout:
            lines += process.stdout.readlines()

        assert process.wait(30) == 0
        assert still_alive(everybody) == []
        assert any(line.startswith("consumers  | ready consuming") for line in lines)
        assert "the shop is stopped" in lines[-1]

    def test_comes_cleanly_after_down(self, running):
        everybody = running.everybody()

        done = running.manage("down")

        assert (done.returncode, done.stdout) == (0, "The shop is stopped.\n")
        assert still_alive(everybody) == []
        last = state.read(running.data)
        assert last is not None
        assert last.phase == "stopped"
        assert "database system is shut down" in (running.data / "logs" / "postgres.log").read_text()
        assert running.manage("status").returncode == 3
