"""How far a group that consumes by POP has been given a queue's messages: the broker moves the offset, no member does.

The offset that others see, and that is saved, moves on when the check point of what was given is on disk; what is given
meanwhile begins behind it all the same.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker.pop_receipts import kind_of
from mq.errors import MQError

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: `initMode` of a group that begins with the newest message.
INIT_MAX: Final = 1

#: Group, topic, queue id.
QueueKey = tuple[str, str, int]


class PopOffsets:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        #: Offsets that are moved on once the check points behind them are on disk.
        self._ahead: dict[QueueKey, int] = {}

    def begin(self, key: QueueKey, init_mode: int) -> int:
        """Where to take messages from now on; follows a reset, and settles where a new group begins."""
        offsets = self._broker.offsets
        if offsets.resets.is_pending(*key):
            offsets.resets.follow(*key)
            self._ahead.pop(key, None)
            self._broker.orders.clear(key)
        _group, topic, queue_id = key
        is_new = key not in self._ahead and offsets.get(*key) < 0
        if not is_new or init_mode != INIT_MAX or kind_of(topic) != "0" or offsets.is_young(topic, queue_id):
            return self.look(key)
        position = max(
            self._broker.store.max_offset(topic, queue_id) - 1, 0
        )  # from the last message on, as in RocketMQ
        offsets.commit(*key, position)
        return position

    def look(self, key: QueueKey) -> int:
        """Where a pop would begin; changes nothing."""
        offsets = self._broker.offsets
        if key in self._ahead and not offsets.resets.is_pending(*key):
            return self._ahead[key]
        position = offsets.get(*key)
        return position if position >= 0 else self._broker.store.min_offset(*key[1:])

    def move_on(self, key: QueueKey, position: int) -> None:
        """What lies before `position` is given, or nobody wants it: true for others when the log so far is on disk."""
        self._ahead[key] = position
        self._broker.store.when_durable(partial(self._is_on_disk, key, position))

    def _is_on_disk(self, key: QueueKey, position: int, error: MQError | None) -> None:
        """So the group has had what the check point tells of, unless its offset was reset meanwhile."""
        if error is None and key in self._ahead:
            self._broker.offsets.commit(*key, position)
        if error is not None or self._ahead.get(key) == position:
            self._ahead.pop(key, None)
