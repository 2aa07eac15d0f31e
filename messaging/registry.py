"""Who listens to what: `@consumer` marks a function in a service's `consumers.py` as the handler of some events.

    @consumer(topic=ORDER_EVENTS, tags=[OrderPlaced])
    def reserve(event: OrderPlaced) -> list[Event]: ...

    @consumer(topic=ORDER_EVENTS, tags=[OrderPaid], batch=64)
    def grant_points(events: list[OrderPaid]) -> list[list[Event]]: ...     # one answer per event, in the same order

    @consumer(topic=PAYMENT_EVENTS, tags=[ExecuteRefund], before=ask_gateway)
    def settle_refund(event: ExecuteRefund, answer: GatewayAnswer) -> list[Event]: ...

A handler runs in a transaction of its service's database, once per event (see messaging.inbox), and touches nothing but
that database: what it wants to tell the world it returns. A third party is asked by `before`, outside of any
transaction and perhaps several times per event. A consumer group is a service, unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from messaging.events import Event, Outgoing

#: One event in, its answers out; the batch form takes a list of events and returns a list of as many answers.
Handler = Callable[..., Iterable[Outgoing] | Iterable[Iterable[Outgoing]] | None]
_Handler = TypeVar("_Handler", bound=Handler)


@dataclass(frozen=True, eq=False)
class Consumer:
    """One registered handler. `service` is at once the app, the database alias and, by default, the group."""

    handler: Callable[..., Any]
    service: str
    group: str
    topic: str
    events: tuple[type[Event], ...]
    orderly: bool
    batch: int | None
    before: Callable[[Any], Any] | None = None
    weak: bool = False

    @cached_property
    def by_tag(self) -> dict[str, type[Event]]:
        return {event.__name__: event for event in self.events}

    def prepare(self, event: Event) -> tuple[Any, ...]:
        """The handler's further arguments. Called outside of any transaction: a third party may take its time."""
        return () if self.before is None else (self.before(event),)

    def handle(self, events: list[Event], prepared: Sequence[tuple[Any, ...]] | None = None) -> list[list[Outgoing]]:
        """Run the handler on events in their order and return what each of them answers.

        Raises: whatever the handler raises; nothing is done then.
        """
        if self.batch is None:
            further = prepared if prepared is not None else [()] * len(events)
            return [list(self.handler(event, *more) or ()) for event, more in zip(events, further, strict=True)]
        answers = [list(answer) for answer in self.handler(events)]
        if len(answers) != len(events):
            raise TypeError(f"{self.handler.__qualname__} answered {len(answers)} times to {len(events)} events")
        return answers


class Registry:
    """All consumers of the process; a message finds its own by group, topic and tag."""

    def __init__(self) -> None:
        self._by_place: dict[tuple[str, str, str], Consumer] = {}

    def add(self, consumer: Consumer) -> None:
        for tag in consumer.by_tag:
            place = (consumer.group, consumer.topic, tag)
            if place in self._by_place:
                raise ValueError(f"group {consumer.group!r} already has a handler for {consumer.topic}/{tag}")
            self._by_place[place] = consumer

    def find(self, group: str, topic: str, tag: str | None) -> Consumer | None:
        return self._by_place.get((group, topic, tag or ""))

    def of_service(self, service: str) -> list[Consumer]:
        return list(dict.fromkeys(one for one in self._by_place.values() if one.service == service))


registry = Registry()


def consumer(
    *,
    topic: str,
    tags: Sequence[type[Event]],
    group: str | None = None,
    orderly: bool = True,
    batch: int | None = None,
    before: Callable[[Any], Any] | None = None,
    weak: bool = False,
    into: Registry = registry,
) -> Callable[[_Handler], _Handler]:
    """Register the decorated function; it stays callable as it is.

    `batch` is the most events it gets at once (None: one at a time); a batch is one transaction. What `before`
    returns for an event is the handler's second argument. `weak` handlers are no part of any transaction and answer
    nothing: their marks lie in Redis, and expire (see messaging.weak).
    """
    if before is not None and batch is not None:
        raise ValueError("a handler of batches has no `before`: one slow third party would hold up the whole batch")
    if weak and (before is not None or batch is not None):
        raise ValueError("a weak handler takes one event at a time and asks nobody before")
    strangers = [event.__name__ for event in tags if event.topic != topic]
    if strangers:
        raise ValueError(f"{', '.join(strangers)}: not of topic {topic!r}")

    def register(handler: _Handler) -> _Handler:
        service = handler.__module__.partition(".")[0]
        into.add(Consumer(handler, service, group or service, topic, tuple(tags), orderly, batch, before, weak))
        return handler

    return register
