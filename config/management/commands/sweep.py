from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
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
from payments.gateway.contract import GatewayUnavailable
from payments.services import reconciling, statements

log = logging.getLogger(__name__)

#: A sentence, and a function that does what it says and returns how often.
Chore = tuple[str, Callable[[], int]]
#: The clock may be moved at any moment, and a buyer who has paid looks at the page.
_ASK_EVERY_S = 10.0

#: Orders closed per pass; the rest waits for the next one, so that a pass never takes long.
_LIMIT = 1000


class Command(RunningShopCommand):
    help = (
        "Find what messages lost: orders to close, payments to ask about; forget what is old. Once, or until stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("--every", type=float, metavar="SECONDS", help="stay, and sweep this often")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["every"] is None:
            if not self._sweep([*_questions(), *_chores()]):
                raise CommandError("Not everything could be swept: the log says why.", returncode=3)
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        every_s = options["every"]
        self.stdout.write(f"ready sweeping every {every_s:g} s")
        next_sweep_s = time.monotonic() + every_s
        while not stop.wait(min(every_s, _ASK_EVERY_S)):
            self._sweep(_questions())
            if time.monotonic() >= next_sweep_s:
                next_sweep_s = time.monotonic() + every_s
                self._sweep(_chores())

    def _sweep(self, chores: Iterable[Chore]) -> bool:
        """One pass; what keeps one chore from being done keeps no other. Whether all were done."""
        is_done = True
        for sentence, chore in chores:
            try:
                # Without this, a connection that a restart of the database broke would stay broken.
                with database_access():
                    self.stdout.write(sentence.format(chore()))
            except Exception as error:
                is_expected = isinstance(error, TryAgain | GatewayUnavailable | DatabaseError | InterfaceError)
                log.warning("not now: %s: %s", sentence.format("?"), error, exc_info=not is_expected)
                is_done = False
        return is_done


def _questions() -> Iterator[Chore]:
    """What buyers wait for: the gateways are asked what no message told."""
    moment = now()
    yield "{} payments were settled by asking", lambda: reconciling.ask_about_payments(now=moment).settled
    yield "{} refunds were settled by asking", lambda: reconciling.ask_about_refunds(now=moment).settled


def _chores() -> Iterator[Chore]:
    """What can wait for a while."""
    moment = now()
    yield "{} statements were compared", lambda: len(statements.compare_due(now=moment))
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
