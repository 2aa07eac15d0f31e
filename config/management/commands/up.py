from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from config import sample_data
from config.environment import environment
from config.management.options import INTERRUPTED, ShopCommand
from config.supervisor import instance, launch, parts, ports, report
from config.supervisor.state import Phase, State
from config.supervisor.supervisor import Supervisor


class Command(ShopCommand):
    help = "Start the whole shop and leave it running (`manage.py down` stops it)."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--base-port", type=int, metavar="N", help="take free ports from N on, and remember them")
        parser.add_argument(
            "--foreground", action="store_true", help="stay, show every log line; Ctrl-C stops the shop"
        )
        parser.add_argument("--quiet", action="store_true", help="in the foreground: keep the logs to the files")

    def handle(self, *args: Any, **options: Any) -> None:
        data = self.data(options)
        # Whoever is told to stop while the shop is starting stops the half-started shop first. Shells let programs in
        # the background ignore SIGINT, and Python then leaves it so.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.default_int_handler)
        try:
            if options["foreground"]:
                supervise(data, base_port=options["base_port"], echo=not options["quiet"])
            else:
                self._start(data, base_port=options["base_port"], as_json=options["json"])
        except KeyboardInterrupt:
            self.stderr.write("Stopped before the shop was open; nothing of it is left running.")
            raise SystemExit(INTERRUPTED) from None

    def _start(self, data: Path, *, base_port: int | None, as_json: bool) -> None:
        progress = report.progress()
        try:
            shop = launch.start(data, base_port=base_port, progress=progress)
        finally:
            progress.close()
        if as_json:
            self.stdout.write(json.dumps(report.as_json(shop), indent=2))
        else:
            report.console().print(report.addresses(shop, logins=sample_data.logins(data)))


def supervise(data: Path, *, base_port: int | None, echo: bool) -> None:
    """Be the supervisor of the shop in `data` until told to stop.

    Raises: CannotStart.
    """
    instance.prepare(data)
    lock = instance.lock(data)
    chosen = ports.choose(data, parts.needed_ports(environment()), base_port=base_port)
    plan = parts.plan(data, environment(), chosen)
    try:
        asyncio.run(Supervisor(data, plan, lock=lock, echo=echo, watch=_Announcement() if echo else _nobody).run())
    finally:
        instance.leave(data)


class _Announcement:
    """Says once, between the logs, where the shop is."""

    def __init__(self) -> None:
        self._is_made = False

    def __call__(self, now: State) -> None:
        if now.phase is Phase.READY and not self._is_made:
            self._is_made = True
            report.console().print(report.addresses(now, logins=sample_data.logins(Path(now.data))))


def _nobody(now: State) -> None:
    """Whoever waits for a quiet supervisor reads its state file."""
