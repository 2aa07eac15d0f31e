"""What every step of the tour needs at hand: story, buyers, cashier, broker, and the shop's processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from django.core.management import call_command

from config.supervisor import state
from config.supervisor.state import Health, PartState
from mq.message import ReceivedMessage
from tour.broker import Broker
from tour.buyer import Buyer
from tour.cashier import Cashier
from tour.story import Story
from verify.messages import subscriptions

_LOOK_EVERY_S = 0.02
#: After the last thing a step waits for: messages that only report it may still be on their way.
_AFTERTHOUGHTS_S = 0.4
_COMMIT_S = 15.0


@dataclass
class Guide:
    story: Story
    data: Path
    buyers: Mapping[str, Buyer]
    cashier: Cashier
    broker: Broker
    _shown: set[tuple[str, int, int]] = field(default_factory=set)

    def follow(self, order_no: str, until: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
        """Show the order's messages as they appear, until something is true and a moment longer.

        Raises: TimeoutError: it did not become true.
        """
        deadline_s = time.monotonic() + timeout_s
        while not until():
            self.show_messages(order_no)
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"order {order_no} did not get there within {timeout_s:.0f} s")
            time.sleep(_LOOK_EVERY_S)
        deadline_s = time.monotonic() + _AFTERTHOUGHTS_S
        while time.monotonic() < deadline_s:
            self.show_messages(order_no)
            time.sleep(_LOOK_EVERY_S)

    def show_messages(self, order_no: str) -> list[ReceivedMessage]:
        """Show those messages of the order that were not shown yet; all of them are returned."""
        messages = self.broker.messages_of(order_no)
        for message in messages:
            place = (message.topic, message.queue_id, message.queue_offset)
            if place not in self._shown:
                self._shown.add(place)
                self.story.message(message)
        return messages

    def message(self, order_no: str, tag: str) -> ReceivedMessage:
        """The order's first message of a tag."""
        return next(message for message in self.broker.messages_of(order_no) if message.tag == tag)

    def has_message(self, order_no: str, tag: str) -> bool:
        """Whether the order has a message of a tag that can be seen; timers are hidden until they ring."""
        return any(message.tag == tag for message in self.broker.messages_of(order_no))

    def deliver_again(self, message: ReceivedMessage, *, times: int) -> None:
        """Send a message again and wait until everybody who listens to it is done with it."""
        groups = [one.group for one in subscriptions() if one.topic == message.topic and message.tag in one.tags]
        sent = self.broker.send_again(message, times)
        if not self.broker.wait_until_consumed(sent, groups, timeout_s=_COMMIT_S):
            raise TimeoutError(f"{message.tag} was sent again, but not consumed by all of {', '.join(groups)}")

    def travel(self, duration: str) -> None:
        """Move the clocks of shop, broker and payment company forward together."""
        call_command("time-travel", duration, data=self.data, stdout=StringIO())
        self.story.did(f"manage.py time-travel {duration}: the clocks of shop, broker and cashier jump ahead")

    def kill(self, name: str) -> PartState:
        """Kill -9 one of the shop's processes; as it was before."""
        part = self.part(name)
        assert part.process is not None, f"{name} is not ours to kill"
        os.kill(part.process.pid, signal.SIGKILL)
        return part

    def wait_for_restart(self, before: PartState, *, timeout_s: float = 30.0) -> PartState:
        """Raises: TimeoutError: the supervisor did not bring it back."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            part = self.part(before.name)
            if part.restarts > before.restarts and part.health is Health.HEALTHY:
                return part
            time.sleep(_LOOK_EVERY_S)
        raise TimeoutError(f"{before.name} was not restarted within {timeout_s:.0f} s")

    def part(self, name: str) -> PartState:
        shop = state.read(self.data)
        assert shop is not None, "the supervisor wrote its state before the tour began"
        return next(part for part in shop.parts if part.name == name)
