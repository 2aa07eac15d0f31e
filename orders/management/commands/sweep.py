from __future__ import annotations

import logging
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError

from common.clock import now
from messaging.database import database_access
from messaging.transactions import Overtaken, QueueUnavailable
from orders.services import closing, tidying
from orders.services.changes import ConcurrentChange

log = logging.getLogger(__name__)

#: Orders closed per pass; the rest waits for the next one, so that a pass never takes long.
_LIMIT = 1000


class Command(BaseCommand):
    help = "Close orders whose timer was lost, and forget old answers: once, or again and again until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, metavar="SECONDS", help="stay, and sweep this often")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] is None:
            self._sweep()
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"ready sweeping every {options['every']:g} s")
        while not stop.wait(options["every"]):
            try:
                self._sweep()
            except (QueueUnavailable, Overtaken, ConcurrentChange, DatabaseError, InterfaceError) as error:
                log.warning("sweeping was interrupted and goes on at the next pass: %s", error)

    def _sweep(self) -> None:
        with database_access():  # Without it, a connection that a restart of the database broke would stay broken.
            closed = closing.close_overdue(now=now(), limit=_LIMIT)
            forgotten = tidying.forget_old_answers(now=now())
        self.stdout.write(f"{len(closed)} overdue orders are closing, {forgotten} old answers are forgotten.")
