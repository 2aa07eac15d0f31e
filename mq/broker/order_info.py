"""What a group was given in order from one queue: it is locked until all of that is acknowledged, or visible again.

Layout: an object of `config/consumerOrderInfo.json`, under RocketMQ's names: `o` is the first queue offset and then the
differences to it, bit n of `cm` says that message n is acknowledged, `ot` is when messages become visible that had
their time changed, `oc` how often a message was given before, and `a` names the attempt: a client that repeats a
request whose answer was lost gives the same name again, and gets the same messages.
Source: RocketMQ ConsumerOrderInfoManager.OrderInfo.
"""

from __future__ import annotations

from typing import Self

import msgspec

from mq.remoting.bodies import Body


class OrderInfo(Body):
    """Units: times in ms, moments since the epoch."""

    pop_time_ms: int = msgspec.field(name="popTime")
    #: First offset, then differences.
    places: list[int] = msgspec.field(name="o")
    invisible_ms: int = msgspec.field(name="i", default=0)
    acknowledged: int = msgspec.field(name="cm", default=0)
    last_consumed_ms: int = msgspec.field(name="l", default=0)
    attempt_id: str | None = msgspec.field(name="a", default=None)
    visible_at_ms: dict[int, int] | None = msgspec.field(name="ot", default=None)
    times_given: dict[int, int] | None = msgspec.field(name="oc", default=None)

    @classmethod
    def of(cls, offsets: list[int], *, now_ms: int, invisible_ms: int, attempt_id: str | None) -> Self:
        places = [offsets[0], *(offset - offsets[0] for offset in offsets[1:])]
        return cls(now_ms, places, invisible_ms, last_consumed_ms=now_ms, attempt_id=attempt_id)

    @property
    def queue_offsets(self) -> list[int]:
        return self.places[:1] + [self.places[0] + place for place in self.places[1:]]

    @property
    def open_offsets(self) -> list[int]:
        """Those that are not acknowledged."""
        return [offset for number, offset in enumerate(self.queue_offsets) if not self.acknowledged >> number & 1]

    @property
    def next_offset(self) -> int:
        """Where the group goes on: at the first message that is not acknowledged, else behind them all."""
        return next(iter(self.open_offsets), self.queue_offsets[-1] + 1)

    @property
    def free_at_ms(self) -> int:
        """When the lock ends by itself: as soon as no message is invisible any more."""
        changed = self.visible_at_ms or {}
        due_ms = self.pop_time_ms + self.invisible_ms
        return max((changed.get(offset, due_ms) for offset in self.open_offsets), default=0)

    def locks(self, now_ms: int, attempt_id: str | None) -> bool:
        """Whether a request must wait; one that repeats the attempt need not."""
        is_repeated = self.attempt_id is not None and self.attempt_id == attempt_id
        return not is_repeated and now_ms < self.free_at_ms

    def acknowledge(self, queue_offset: int) -> None:
        """Raises: ValueError: it is none of these messages."""
        self.acknowledged |= 1 << self.queue_offsets.index(queue_offset)

    def hide_until(self, queue_offset: int, visible_at_ms: int) -> None:
        self.visible_at_ms = (self.visible_at_ms or {}) | {queue_offset: visible_at_ms}

    def count_from(self, before: OrderInfo) -> None:
        """Learn how often these messages were given before; an attempt that is repeated counts once."""
        known = before.times_given or {}
        if before.attempt_id is not None and before.attempt_id == self.attempt_id:
            self.times_given = dict(known)
        else:
            again = set(before.queue_offsets).intersection(self.queue_offsets)
            self.times_given = {offset: known.get(offset, 0) + 1 for offset in sorted(again)}
