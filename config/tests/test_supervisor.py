"""The supervisor with small processes of our own making: what it does when they die, hang, or never get ready."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from config import processes
from config.errors import CannotStart
from config.supervisor import child, instance, state, supervisor
from config.supervisor.health import Probe
from config.supervisor.parts import Part, Plan
from config.supervisor.state import Health, Phase, ProcessId, State
from config.supervisor.supervisor import Supervisor

READY = "print('ready', flush=True); "
FOREVER = "import signal; signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


def part(name: str, program: str, **changes: Any) -> Part:
    settings: dict[str, Any] = {"stage": 1, "address": "here", "environment": dict(os.environ), "ready": "ready"}
    return Part(name, command=(sys.executable, "-c", program), **{**settings, **changes})


def process_of(now: State) -> ProcessId:
    process = now.parts[0].process
    assert process is not None
    return process


class Running:
    """A supervisor at work, and a way to wait for what its state says."""

    def __init__(self, data: Path, *parts: Part) -> None:
        instance.prepare(data)
        self.data = data
        self._news = asyncio.Event()
        self.lock = instance.lock(data)
        self.supervisor = Supervisor(data, Plan(parts, {}, {}), lock=self.lock, echo=False, watch=self._heard)

    async def __aenter__(self) -> Running:
        self.run = asyncio.create_task(self.supervisor.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self.run.done():
            os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.gather(self.run, return_exceptions=True)
        os.close(self.lock)

    async def until(self, is_so) -> State:
        async with asyncio.timeout(20):
            while not is_so(self.supervisor.state):
                self._news.clear()
                await self._news.wait()
        return self.supervisor.state

    async def ready(self) -> State:
        return await self.until(lambda now: now.phase is Phase.READY)

    @property
    def log(self) -> str:
        return (self.data / "logs" / "supervisor.log").read_text()

    def _heard(self, _: State) -> None:
        self._news.set()


class TestStart:
    async def test_brings_a_stage_up_once_the_one_before_is_ready(self, tmp_path):
        order = tmp_path / "order"
        note = f"open({str(order)!r}, 'a').write"
        parts = [
            part("database", f"{note}('database '); {READY}{FOREVER}"),
            part("setup", f"{note}('setup '); {FOREVER.replace('signal.pause()', '')}", stage=2, ready=None),
            part("web", f"{note}('web '); {READY}{FOREVER}", stage=3),
        ]
        async with Running(tmp_path / "shop", *parts) as running:
            now = await running.ready()

        assert order.read_text().split() == ["database", "setup", "web"]
        assert [one.started_after_s is not None for one in now.parts] == [True, True, True]

    async def test_that_fails_quotes_the_last_words_and_stops_the_others(self, tmp_path):
        parts = [
            part("database", READY + FOREVER),
            part("setup", "raise SystemExit('no such table: orders')", stage=2, ready=None),
        ]
        async with Running(tmp_path / "shop", *parts) as running:
            with pytest.raises(CannotStart, match=r"setup did not start \(exit status 1\): no such table: orders"):
                await running.run

            now = state.read(running.data)

        assert now is not None
        assert (now.phase, now.reason is not None) == (Phase.FAILED, True)
        assert not any(one.process.is_alive() for one in now.parts if one.process)

    async def test_that_fails_twice_is_one_sentence(self, tmp_path):
        parts = [part(name, f"raise SystemExit('no {name}')") for name in ("web", "broker")]
        async with Running(tmp_path / "shop", *parts) as running:
            with pytest.raises(CannotStart, match=r"did not start"):
                await running.run

    async def test_of_what_is_not_there_says_so(self, tmp_path):
        missing = Part("web", 1, ("/nowhere/granian",), "here", {}, "ready")
        async with Running(tmp_path / "shop", missing) as running:
            with pytest.raises(CannotStart, match=r"web cannot be run: .*/nowhere/granian"):
                await running.run

    async def test_that_takes_too_long_names_the_log(self, tmp_path, monkeypatch):
        monkeypatch.setattr(supervisor, "_START_S", 0.3)
        async with Running(tmp_path / "shop", part("web", FOREVER)) as running:
            with pytest.raises(CannotStart, match=r"web was not ready within 0 s: see .*web\.log"):
                await running.run

    async def test_that_is_interrupted_leaves_nothing(self, tmp_path):
        async with Running(tmp_path / "shop", part("web", FOREVER)) as running:
            now = await running.until(lambda now: now.parts[0].process is not None)
            os.kill(os.getpid(), signal.SIGTERM)
            await running.run

        assert not process_of(now).is_alive()
        assert now.phase is Phase.STOPPED


class TestAProcessThatDies:
    async def test_comes_back_and_the_log_says_so(self, tmp_path):
        async with Running(tmp_path / "shop", part("web", READY + FOREVER)) as running:
            first = process_of(await running.ready())
            os.kill(first.pid, signal.SIGKILL)
            now = await running.until(lambda now: now.parts[0].restarts == 1 and now.parts[0].health is Health.HEALTHY)

        assert process_of(now).pid != first.pid
        assert "web ended (killed by SIGKILL); started again in 0.2 s" in running.log
        assert f"web is back (pid {process_of(now).pid})" in running.log

    async def test_again_and_again_is_started_less_and_less_often(self, tmp_path, monkeypatch):
        monkeypatch.setattr(child, "_FIRST_PAUSE_S", 0.01)
        async with Running(tmp_path / "shop", part("web", READY)) as running:
            await running.until(lambda now: now.parts[0].restarts >= 4)

        pauses = [line.rpartition(" in ")[2] for line in running.log.splitlines() if "started again" in line]
        assert pauses[:4] == ["0.0 s", "0.0 s", "0.0 s", "0.1 s"]

    async def test_takes_its_own_children_with_it(self, tmp_path):
        worker = f"import subprocess, sys; w = subprocess.Popen([sys.executable, '-c', {FOREVER!r}]); {READY}"
        async with Running(tmp_path / "shop", part("web", worker + FOREVER)) as running:
            first = process_of(await running.ready())
            orphan = psutil.Process(first.pid).children()[0]
            os.kill(first.pid, signal.SIGKILL)
            await running.until(lambda now: now.parts[0].restarts == 1 and now.parts[0].health is Health.HEALTHY)

            assert psutil.wait_procs([orphan], timeout=10)[0] == [orphan]


class TestAProcessThatHangs:
    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch):
        monkeypatch.setattr(child, "_ASK_EVERY_S", 0.02)
        monkeypatch.setattr(child, "_ANSWER_S", 0.1)

    async def test_is_not_healthy_until_it_goes_on(self, tmp_path):
        async with Running(tmp_path / "shop", part("web", READY + FOREVER)) as running:
            process = process_of(await running.ready())
            os.kill(process.pid, signal.SIGSTOP)
            await running.until(lambda now: now.parts[0].health is Health.UNRESPONSIVE)
            os.kill(process.pid, signal.SIGCONT)
            now = await running.until(lambda now: now.parts[0].health is Health.HEALTHY)

        assert now.parts[0].restarts == 0
        assert "web is unresponsive" in running.log

    @pytest.mark.parametrize("hang", [f"os.kill(os.getpid(), {signal.SIGSTOP})", "signal.pause()"])
    async def test_for_long_is_started_again_and_the_log_says_so(self, tmp_path, monkeypatch, hang):
        monkeypatch.setattr(child, "_PATIENCE_S", 0.3)
        socket = tmp_path / "alive"
        # The second life finds the first one's socket, and answers.
        program = f"""
import os, signal, socket
is_first = not os.path.exists({str(socket)!r})
if not is_first: os.remove({str(socket)!r})
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(socket)!r})
listener.listen()
print("ready", flush=True)
if is_first: {hang}
while True: listener.accept()[0].sendall(b"still alive")
"""
        web = part("web", program, alive=Probe(socket, b"", b"alive"))
        async with Running(tmp_path / "shop", web) as running:
            first = process_of(await running.ready())
            now = await running.until(lambda now: now.parts[0].restarts == 1 and now.parts[0].health is Health.HEALTHY)

            assert process_of(now).pid != first.pid
            assert not first.is_alive()
        assert "web has not answered for 0 s and is killed" in running.log
        assert "web ended (killed by SIGKILL); started again" in running.log

    async def test_at_its_next_start_is_started_once_more(self, tmp_path, monkeypatch):
        monkeypatch.setattr(supervisor, "_START_S", 1.0)
        lives = tmp_path / "lives"
        lives.touch()
        # The second life never gets ready.
        program = f"lives = open({str(lives)!r}, 'a+'); lives.seek(0); n = len(lives.read()); "
        program += f"lives.write('x'); lives.flush(); n == 1 or {READY}{FOREVER}"
        async with Running(tmp_path / "shop", part("web", program)) as running:
            os.kill(process_of(await running.ready()).pid, signal.SIGKILL)
            await running.until(lambda now: now.parts[0].restarts == 2 and now.parts[0].health is Health.HEALTHY)

        assert "web was not ready within 1 s" in running.log


class TestStop:
    async def test_goes_in_reverse_order(self, tmp_path):
        order = tmp_path / "order"

        def telling(name):
            return (
                f"import signal\ntry: {READY}signal.sigwait([15])\nfinally: open({str(order)!r}, 'a').write('{name} ')"
            )

        blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [15])\n"
        parts = [part("database", blocked + telling("database")), part("web", blocked + telling("web"), stage=2)]
        async with Running(tmp_path / "shop", *parts) as running:
            await running.ready()

        assert order.read_text().split() == ["web", "database"]

    async def test_insists_when_asking_does_not_help(self, tmp_path, monkeypatch):
        monkeypatch.setattr(child, "_STOP_S", 0.2)
        async with Running(tmp_path / "shop", part("web", STUBBORN + READY + FOREVER)) as running:
            process = process_of(await running.ready())

        assert not process.is_alive()
        assert "web did not stop within 0 s and is killed" in running.log


class TestLogs:
    async def test_keep_what_was_said_and_cut_what_never_ends(self, tmp_path):
        program = "print('one'); print('x' * 300_000); print('two'); " + READY + FOREVER
        async with Running(tmp_path / "shop", part("web", program)) as running:
            await running.ready()

        lines = (running.data / "logs" / "web.log").read_text().splitlines()
        assert lines[0] == "one"
        assert lines[-2:] == ["two", "ready"]
        assert sum(map(len, lines)) < 200_000


class TestInstance:
    def test_refuses_a_second_one_and_says_how_to_stop_the_first(self, tmp_path):
        instance.prepare(tmp_path)
        lock = instance.lock(tmp_path)
        parent = state.ProcessId.of(os.getppid())
        state.write(tmp_path, State(str(tmp_path), Phase.READY, parent, [], {}))

        with pytest.raises(CannotStart, match=rf"already runs \(supervisor pid {parent.pid}\).*manage.py down"):
            instance.lock(tmp_path)
        os.close(lock)

    def test_is_in_use_while_anything_it_started_lives(self, tmp_path):
        instance.prepare(tmp_path)
        lock = instance.lock(tmp_path)
        heir = subprocess.Popen([sys.executable, "-c", FOREVER], **processes.options(keep_open=(lock,)))
        os.close(lock)

        assert instance.is_in_use(tmp_path)
        heir.kill()
        heir.wait()
        assert not instance.is_in_use(tmp_path)

    def test_refuses_a_disk_that_is_nearly_full(self, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300 << 20))

        with pytest.raises(CannotStart, match=r"Only 300 MB are free .*needs 1024 MB.*--data DIR"):
            instance.prepare(tmp_path)

    @pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/proc/nowhere")])
    def test_refuses_a_directory_it_cannot_use(self, tmp_path, make):
        make(tmp_path / "shop")

        with pytest.raises(CannotStart, match=r"cannot be used .*--data DIR"):
            instance.prepare(tmp_path / "shop")

    @pytest.mark.parametrize("name", ["secret", "clock-offset"])
    def test_refuses_what_a_power_cut_left_empty(self, tmp_path, name):
        (tmp_path / name).touch()

        with pytest.raises(CannotStart, match=rf"{tmp_path / name} is damaged.*[Rr]emove it"):
            instance.prepare(tmp_path)
