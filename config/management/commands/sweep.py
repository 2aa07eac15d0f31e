from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError, InterfaceError

import accounts.services.tidying
import coupons.services.tidying
import messaging.tidying
import orders.services.tidying
import payments.services.tidying
from common.clock import now
from common.errors import TryAgain
from config.environment import SERVICES
from config.management.options import RunningShopCommand, add_data
from coupons.services import settling
from messaging.database import database_access
from orders.services import closing, shipping

log = logging.getLogger(__name__)

#: Orders closed per pass; the rest waits for the next one, so that a pass never takes long.
_LIMIT = 1000


class Command(RunningShopCommand):
    help = "Close orders whose timer was lost, and forget what is old: once, or again and again until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("--every", type=float, metavar="SECONDS", help="stay, and sweep this often")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] is None:
            if not self._sweep():
                raise CommandError("Not everything could be swept: the log says why.", returncode=3)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write(f"ready sweeping every {options['every']:g} s")
        while not stop.wait(options["every"]):
            self._sweep()

    def _sweep(self) -> bool:
        """One pass; what keeps one chore from being done keeps no other. Whether all were done."""
        is_done = True
        for sentence, chore in _chores():
            try:
                # Without this, a connection that a restart of the database broke would stay broken.
                with database_access():
                    self.stdout.write(sentence.format(chore()))
            except Exception as error:
                is_expected = isinstance(error, TryAgain | DatabaseError | InterfaceError)
                log.warning("not now: %s: %s", sentence.format("?"), error, exc_info=not is_expected)
                is_done = False
        return is_done


def _chores() -> Iterator[tuple[str, Callable[[], int]]]:
    """What a pass does: sentences, and functions that do what they say and return how often."""
    moment = now()
    yield "{} overdue orders are closing", lambda: len(closing.close_overdue(now=moment, limit=_LIMIT))
    yield "{} unanswered orders are canceled", lambda: len(closing.cancel_silent(now=moment, limit=_LIMIT))
    yield "{} overdue receipts are confirmed", lambda: len(shipping.complete_overdue(now=moment, limit=_LIMIT))
    yield "{} coupons have expired", partial(settling.expire_coupons, now=moment)
    for tidying in (accounts.services.tidying, coupons.services.tidying, orders.services.tidying):
        yield (
            f"{{}} old answers of {tidying.__name__.partition('.')[0]} are forgotten",
            partial(tidying.forget_old_answers, now=moment),
        )
    yield "{} old callbacks are forgotten", partial(payments.services.tidying.forget_old_callbacks, now=moment)
    for service in SERVICES:
        yield f"{{}} old messages of {service} are forgotten", partial(messaging.tidying.forget_old_messages, service)
