"""What a person sees: the shop coming up part by part, where everything is once it is there, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from config.supervisor import instance
from config.supervisor.state import Health, State

_MARKS = {
    Health.WAITING: ("·", "dim"),
    Health.STARTING: ("…", "yellow"),
    Health.RESTARTING: ("↻", "yellow"),
    Health.UNRESPONSIVE: ("!", "red"),
    Health.HEALTHY: ("✓", "green"),
    Health.DONE: ("✓", "green"),
    Health.EXTERNAL: ("→", "cyan"),
    Health.STOPPED: ("■", "dim"),
}

_WIDTH_OF_A_FILE: Final = 1000


class Progress(Protocol):
    """Is told the state at every change."""

    def show(self, state: State) -> None: ...
    def close(self) -> None: ...


class LiveProgress:
    """A table that changes in place, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=10)
        self._live.start()

    def show(self, state: State) -> None:
        self._live.update(table(state))

    def close(self) -> None:
        self._live.stop()


class PlainProgress:
    """A line per part once it is there; for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()

    def show(self, state: State) -> None:
        for part in state.parts:
            if part.health in (Health.HEALTHY, Health.DONE, Health.EXTERNAL) and part.name not in self._told:
                self._told.add(part.name)
                took = f" after {part.started_after_s:.1f} s" if part.started_after_s is not None else ""
                self._console.print(f"{part.name} {part.health}{took}", highlight=False)

    def close(self) -> None:
        """Nothing to put back."""


def progress() -> Progress:
    """On standard error, so that standard output is the result alone."""
    console = Console(stderr=True)
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


def console() -> Console:
    """As wide as the terminal; in a file or a pipe, where nobody sees the width, a row is never cut."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH_OF_A_FILE)


def table(state: State) -> Table:
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for part in state.parts:
        mark, style = _MARKS[part.health]
        runs = part.health in (Health.HEALTHY, Health.UNRESPONSIVE)
        pid = f"pid {part.process.pid}" if part.process is not None and runs else ""
        took = f"{part.started_after_s:.1f} s" if part.started_after_s is not None else ""
        again = f"restarted {part.restarts} x" if part.restarts else ""
        rows.add_row(f"[{style}]{mark}[/]", part.name, str(part.health), took, pid, part.address, again)
    return rows


def addresses(state: State, *, logins: Mapping[str, str] | None = None) -> Table:
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, url in state.urls.items():
        note = "   `manage.py staff NAME --manager` makes an account" if name == "staff" else ""
        rows.add_row(name, f"[bold]{url}[/]{note}")
    ahead = instance.clock_offset(Path(state.data))
    if ahead:
        rows.add_row(
            "clock", f"[yellow]{ahead} ahead of this machine's[/] (time-travel; a fresh --data DIR is on time)"
        )
    for username, password in (logins or {}).items():
        rows.add_row("login", f"{username}  {password}")
    return rows


def as_json(state: State) -> dict[str, Any]:
    """What `status --json` and `up --json` print; scripts rely on these names."""
    return {
        "phase": str(state.phase),
        "data": state.data,
        "supervisor": {"pid": state.supervisor.pid},
        "processes": [
            {
                "name": part.name,
                "pid": part.process.pid if part.process is not None else None,
                "address": part.address,
                "health": str(part.health),
                "restarts": part.restarts,
                "started_after_s": part.started_after_s,
            }
            for part in state.parts
        ],
        "urls": state.urls,
    }
