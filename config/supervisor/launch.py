"""Starting and stopping a shop from another process: detached (`up`), or as a child that dies with it (`demo`)."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config import processes
from config.errors import CannotStart
from config.supervisor import instance, state
from config.supervisor.parts import PROJECT
from config.supervisor.report import Progress
from config.supervisor.state import Phase, State

_LOOK_EVERY_S: Final = 0.05
#: A supervisor that has not written its first state by then is stuck in the imports.
_STOP_S: Final = 90.0


def start(data: Path, *, base_port: int | None, progress: Progress, dies_with_us: bool = False) -> State:
    """Start a supervisor for `data` and wait until the shop is ready.

    Raises: CannotStart: in the supervisor's own words. KeyboardInterrupt: passed on to it; it has stopped everything.
    """
    instance.prepare(data)
    command = [sys.executable, str(PROJECT / "manage.py"), "up", "--foreground", "--quiet", "--data", str(data)]
    command += ["--base-port", str(base_port)] if base_port is not None else []
    with (data / "logs" / "start.log").open("wb") as output:
        if dies_with_us:
            process = subprocess.Popen(command, stdout=output, **processes.options())
        else:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
    try:
        return _until_ready(data, process, progress)
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_S)
        raise


def stop(data: Path) -> bool:
    """Stop the shop in `data` and everything that is left of it; whether there was anything.

    Raises: CannotStart: something does not even react to SIGKILL.
    """
    if not instance.is_in_use(data):
        return False
    last = state.read(data)
    if last is not None and last.supervisor.is_alive():
        os.kill(last.supervisor.pid, signal.SIGTERM)
        _until_unused(data, _STOP_S)
    if last is not None and instance.is_in_use(data):
        _kill(last)
        _until_unused(data, 10.0)
    if instance.is_in_use(data):
        raise CannotStart(f"Some process still uses {data} and does not end; find it with `fuser {data / 'lock'}`.")
    return True


@contextlib.contextmanager
def running(data: Path, *, base_port: int | None, progress: Progress) -> Iterator[State]:
    """A shop for the length of a block; it also ends with this process, however that ends."""
    shop = start(data, base_port=base_port, progress=progress, dies_with_us=True)
    try:
        yield shop
    finally:
        stop(data)


def _until_ready(data: Path, process: subprocess.Popen[bytes], progress: Progress) -> State:
    while True:
        now = state.read(data)
        is_news = now is not None and now.supervisor.pid == process.pid
        if now is not None and is_news:
            progress.show(now)
            if now.phase is Phase.READY:
                return now
        if process.poll() is not None:
            raise CannotStart(_why_it_ended(data, now if is_news else None))
        time.sleep(_LOOK_EVERY_S)


def _why_it_ended(data: Path, last: State | None) -> str:
    if last is not None and last.phase is Phase.STOPPED:
        return f"The shop in {data} was told to stop while it was starting."
    reason = last.reason if last is not None else None
    return reason or _last_words(data) or f"The supervisor ended at once: see {data / 'logs'}."


def _until_unused(data: Path, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while instance.is_in_use(data) and time.monotonic() < deadline_s:
        time.sleep(_LOOK_EVERY_S)


def _kill(last: State) -> None:
    """Kill what the last state names, as far as it is still the same process and not a stranger with its pid."""
    for process in [last.supervisor, *(part.process for part in last.parts)]:
        if process is not None and process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)


def _last_words(data: Path) -> str:
    lines = (data / "logs" / "start.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
