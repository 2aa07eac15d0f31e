"""Fulfillment with real third parties and without a broker: messages to itself wait here until their time has come."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.db import transaction

from fulfillment import consumers, messages
from fulfillment.models import Shipment
from messaging.events import Delayed, Event, Outgoing
from messaging.registry import registry
from orders.messages import ExpectReturn, Line, OrderPaid, RefundLine, StopShipment
from shipsim.testing import ShipsimProcess

_numbers = itertools.count(1)
_GROUPS = ("fulfillment", consumers.WAREHOUSE, consumers.CARRIER)
_ROUNDS_MAX = 200


class World:
    def __init__(self, partners: ShipsimProcess, offset_file: Path) -> None:
        self.partners = partners
        self._offset_file = offset_file
        self._waiting: list[tuple[datetime, Event]] = []
        #: What other services were told.
        self.told: list[Event] = []

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(milliseconds=self._offset_ms())

    def pass_time(self, time: timedelta) -> None:
        offset_ms = self._offset_ms() + round(time.total_seconds() * 1000)
        self._offset_file.write_bytes(offset_ms.to_bytes(8, "big", signed=True))
        self.work()

    def hear(self, event: Event) -> None:
        """What a consumer does with an event: it asks, it decides, and what it says waits for its turn."""
        found = [one for group in _GROUPS if (one := registry.find(group, event.topic, event.tag))]
        for consumer in found:
            prepared = [consumer.prepare(event)]
            with transaction.atomic(using="fulfillment"):
                [said] = consumer.handle([event], prepared)
            self._say(said)

    def work(self) -> None:
        """Hear everything that is due, and what follows from it."""
        for _ in range(_ROUNDS_MAX):
            due = [one for one in self._waiting if one[0] <= self.now()]
            if not due:
                return
            self._waiting.remove(due[0])
            self.hear(due[0][1])
        raise AssertionError(f"no end of it: {self._waiting}")

    def paid(self, **units: int) -> str:
        """A paid order of these units; its number."""
        order_no = f"M{next(_numbers)}-{id(self)}"
        lines = tuple(Line(sku, quantity, 1250) for sku, quantity in units.items())
        self.hear(OrderPaid(order_no=order_no, version=3, buyer_id=1, total_cents=2500, payment_no="P1", lines=lines))
        return order_no

    def stop(self, order_no: str, **units: int) -> str:
        """A refund wants these units stopped; its number."""
        refund_no = f"R{next(_numbers)}-{id(self)}"
        self.hear(StopShipment(order_no=order_no, version=3, refund_no=refund_no, lines=_lines(units)))
        return refund_no

    def send_back(self, order_no: str, **units: int) -> str:
        refund_no = f"R{next(_numbers)}-{id(self)}"
        self.hear(ExpectReturn(order_no=order_no, version=5, refund_no=refund_no, lines=_lines(units)))
        return refund_no

    def tags(self) -> list[str]:
        return [event.tag for event in self.told]

    def _say(self, said: list[Outgoing]) -> None:
        for one in said:
            event, at = one if isinstance(one, Delayed) else (one, self.now())
            if event.topic == messages.FULFILLMENT_WORK:
                self._waiting.append((at, event))
            else:
                self.told.append(event)

    def _offset_ms(self) -> int:
        if not self._offset_file.exists():
            return 0
        return int.from_bytes(self._offset_file.read_bytes(), "big", signed=True)


def status(order_no: str) -> str:
    return Shipment.objects.get(order_no=order_no).status


def _lines(units: dict[str, int]) -> tuple[RefundLine, ...]:
    return tuple(RefundLine(sku, quantity, 100) for sku, quantity in units.items())
