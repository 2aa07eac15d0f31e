"""A tiny service for the tests of this package: clocks are ordered and wound, and each winding leaves a row."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import connections

from messaging.events import Event
from messaging.registry import Consumer, Registry
from mq.message import Host, ReceivedMessage
from mq.message import properties as names

SERVICE = "orders"
GROUP = "clockmaker"
TOPIC = "clock-events"

_positions = itertools.count()


class ClockOrdered(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = TOPIC
    order_no: str
    version: int = 1


class ClockRepaired(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = TOPIC
    order_no: str
    version: int = 1


class ClockWound(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "winding-events"
    order_no: str
    version: int = 1


def wind(event: Event) -> list[Event]:
    """The handler most tests use: one row per effect, one event in answer."""
    record_effect(event.key)
    return [ClockWound(order_no=event.key)]


def wind_all(events: list[Event]) -> list[list[Event]]:
    return [wind(event) for event in events]


def registry_with(
    handler: Callable[..., Any] = wind,
    *,
    batch: int | None = None,
    events: tuple[type[Event], ...] = (ClockOrdered, ClockRepaired),
    before: Callable[[Any], Any] | None = None,
) -> Registry:
    registry = Registry()
    registry.add(Consumer(handler, SERVICE, GROUP, TOPIC, events, True, batch, before))
    return registry


def received(event: Event, **changes: Any) -> ReceivedMessage:
    """The event as a consumer gets it; each call is another message of the queue."""
    message, position = event.to_message(), next(_positions)
    fields = {
        "topic": message.topic,
        "queue_id": 0,
        "queue_offset": position,
        "commit_log_offset": position * 300,
        "body": message.body,
        "properties": {**message.all_properties(), names.UNIQ_KEY: f"{position:032X}"},
        "sys_flag": 0,
        "flag": 0,
        "born_timestamp_ms": 0,
        "born_host": Host("127.0.0.1", 1),
        "store_timestamp_ms": 0,
        "store_host": Host("127.0.0.1", 10911),
        "reconsume_times": 0,
        "prepared_transaction_offset": 0,
        "record_bytes": 300,
    }
    return ReceivedMessage(**{**fields, **changes})


def create_effects() -> None:
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("CREATE TABLE winding (id bigserial, order_no text)")


def drop_effects() -> None:
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("DROP TABLE winding")


def record_effect(order_no: str) -> None:
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("INSERT INTO winding (order_no) VALUES (%s)", [order_no])


def effects() -> list[str]:
    """The order numbers of all effects, oldest first."""
    with connections[SERVICE].cursor() as cursor:
        cursor.execute("SELECT order_no FROM winding ORDER BY id")
        return [order_no for (order_no,) in cursor.fetchall()]


def wait_until_somebody_waits_for_a_lock() -> None:
    """So that a test knows that its rival has come as far as it can."""
    deadline_s = time.monotonic() + 10
    with connections[SERVICE].cursor() as cursor:
        while time.monotonic() < deadline_s:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits for a lock")
