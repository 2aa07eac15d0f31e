"""Faults on demand: what real gateways do on bad days, switched on for a number of times.

`POST /faults {"kind": "drop", "out_trade_no": "...", "count": 2}` arms a fault for one order, or for the next ones that
come along when no order is named; `GET /faults` lists what is armed, `DELETE /faults` disarms everything.
"""

from __future__ import annotations

import enum
import sqlite3
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from paysim.database import Database
from paysim.errors import Unanswered

T = TypeVar("T")


class Kind(enum.StrEnum):
    # callbacks
    DUPLICATE = "duplicate"  # `argument` more copies of the same bytes (default 1)
    DELAY = "delay"  # the callback leaves `argument` milliseconds later (default one minute)
    DROP = "drop"  # the attempt is lost; the next one comes by the schedule
    FORGED_SIGNATURE = "forged_signature"  # signed with a key that is not the gateway's
    WRONG_AMOUNT = "wrong_amount"  # rightly signed, one cent too much
    WRONG_MERCHANT = "wrong_merchant"  # rightly signed, but the money went to somebody else
    REORDER = "reorder"  # the callback waits until another one has overtaken it, a minute at most
    # gateway
    ANSWER_PAID_TO_CLOSE = "answer_paid_to_close"  # the buyer pays in the moment the shop asks to close
    LOST_ANSWER = "lost_answer"  # the request is carried out, its answer is lost
    UNAVAILABLE = "unavailable"  # the request is not carried out, and answered with a bare 503
    SERVER_ERROR = "server_error"  # the same, with a bare 500
    SYSTEM_ERROR = "system_error"  # answered in the dialect's own words for "we do not know"; `argument` 1: carried out
    SLOW = "slow"  # the answer takes `argument` milliseconds (default 1000)
    PROCESSING = "processing"  # a refund of WeChat Pay is carried out, and said to be under way
    # cashier
    PAY_AFTER_CLOSE = "pay_after_close"  # money that was on its way arrives at a closed trade
    SECOND_TRADE = "second_trade"  # the buyer pays the same order twice, by two channels


_DEFAULT_ARGUMENTS = {Kind.DUPLICATE: 1, Kind.DELAY: 60_000, Kind.SLOW: 1000}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /faults`."""

    kind: Kind
    out_trade_no: Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{0,64}$")] = ""
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    argument: Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400_000)] | None = None


def arm(db: sqlite3.Connection, order: Order) -> None:
    argument = _DEFAULT_ARGUMENTS.get(order.kind, 0) if order.argument is None else order.argument
    db.execute(
        "INSERT INTO fault (kind, out_trade_no, left_count, argument) VALUES (?, ?, ?, ?)",
        (order.kind, order.out_trade_no, order.count, argument),
    )


def disarm_all(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM fault")


def armed(db: sqlite3.Connection) -> list[dict[str, object]]:
    return [dict(row) for row in db.execute("SELECT * FROM fault ORDER BY fault_id")]


def strike(db: sqlite3.Connection, kind: Kind, out_trade_no: str) -> int | None:
    """Use up one count of a fault armed for this order or for any; its argument, or None when all is well."""
    row = db.execute(
        "SELECT fault_id, left_count, argument FROM fault WHERE kind = ? AND out_trade_no IN (?, '') "
        "ORDER BY out_trade_no = '', fault_id LIMIT 1",
        (kind, out_trade_no),
    ).fetchone()
    if row is None:
        return None
    if row["left_count"] == 1:
        db.execute("DELETE FROM fault WHERE fault_id = ?", (row["fault_id"],))
    else:
        db.execute("UPDATE fault SET left_count = left_count - 1 WHERE fault_id = ?", (row["fault_id"],))
    return int(row["argument"])


class GatewayConfused(Exception):
    """The gateway's own "system error": the caller cannot know whether its request was carried out."""


def through_weather(database: Database, order: str, work: Callable[[], T]) -> T:
    """What `work` returns, unless a fault is armed for this order that keeps the merchant from learning it.

    A fault that strikes is used up even when the request is not carried out: the next one gets through.

    Raises: Unanswered, GatewayConfused: a fault was asked for.
    """
    with database.transaction() as db:
        struck = {kind: strike(db, kind, order) for kind in _WEATHER}
    if struck[Kind.UNAVAILABLE] is not None:
        raise Unanswered(503)
    if struck[Kind.SERVER_ERROR] is not None:
        raise Unanswered(500)
    if struck[Kind.SYSTEM_ERROR] == 0:
        raise GatewayConfused
    done = work()
    if (slow_ms := struck[Kind.SLOW]) is not None:
        time.sleep(slow_ms / 1000)  # in a thread of its own, as each request of a merchant is
    if struck[Kind.SYSTEM_ERROR] is not None:
        raise GatewayConfused
    if struck[Kind.LOST_ANSWER] is not None:
        raise Unanswered(503)
    return done


_WEATHER = (Kind.UNAVAILABLE, Kind.SERVER_ERROR, Kind.SYSTEM_ERROR, Kind.SLOW, Kind.LOST_ANSWER)
