"""Run all checks, after whatever is still under way has arrived."""

from __future__ import annotations

import time

from django.db import InterfaceError, OperationalError

from mq.errors import MQError
from payments.gateway.contract import GatewayRefused, GatewayUnavailable
from payments.gateway.keys import KeysMissing
from verify import balance, messages, money, orders, prices, stock
from verify.finding import Check, Finding, Status

CHECKS: tuple[Check, ...] = (
    *stock.CHECKS,
    *money.CHECKS,
    *prices.CHECKS,
    *balance.CHECKS,
    *orders.CHECKS,
    *messages.CHECKS,
)
#: What a part that does not answer looks like from here.
_UNREACHABLE = (OperationalError, InterfaceError, MQError, GatewayUnavailable, GatewayRefused, KeysMissing, OSError)
_LOOK_EVERY_S = 0.25


def drain(timeout_s: float) -> None:
    """Wait until nothing is under way, or the time is over: then the checks will say what is left."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if not messages.under_way() and not orders.unfinished():
                return
        except _UNREACHABLE:
            return  # the check that needs the part names it
        time.sleep(_LOOK_EVERY_S)


def run() -> list[Finding]:
    return [_run(check) for check in CHECKS]


def _run(check: Check) -> Finding:
    try:
        found = check.run()
    except _UNREACHABLE as error:
        sentence = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Finding(check.name, check.sentence, Status.UNREACHABLE, {}, [sentence], 0)
    status = Status.BROKEN if found.break_count else Status.HOLDS
    return Finding(check.name, check.sentence, status, found.numbers, found.breaks, found.break_count)
