"""Resets of offsets that consumers have yet to follow.

A member of the group that pulls from anywhere but the target is told where to go, once per connection: an answer may
get lost with its connection. A pull from the target ends the reset, and so does one from elsewhere by a member that was
told before: it has a mind of its own. Simpler than RocketMQ: a restart forgets resets that nobody has followed yet,
though not the offset they set.
"""

from __future__ import annotations

from dataclasses import dataclass

from mq.remoting.connection import Connection


@dataclass(slots=True)
class _Pending:
    target: int
    told: Connection | None = None


class PendingResets:
    """Resets that a consumer has yet to follow, by group, topic and queue id."""

    def __init__(self) -> None:
        self._table: dict[tuple[str, str, int], _Pending] = {}

    def put(self, group: str, topic: str, queue_id: int, target: int) -> None:
        self._table[group, topic, queue_id] = _Pending(target)

    def is_pending(self, group: str, topic: str, queue_id: int) -> bool:
        return bool(self._table) and (group, topic, queue_id) in self._table

    def target_for(self, connection: Connection, group: str, topic: str, queue_id: int, asked: int) -> int | None:
        """Where a pull from offset `asked` must go instead; None when it may go on."""
        if not self._table:
            return None
        key = (group, topic, queue_id)
        pending = self._table.get(key)
        if pending is None:
            return None
        if asked == pending.target or pending.told is connection:
            del self._table[key]
            return None
        pending.told = connection
        return pending.target

    def follow(self, group: str, topic: str, queue_id: int) -> None:
        """Whoever consumes has gone where the reset points."""
        self._table.pop((group, topic, queue_id), None)

    def forget(self, *, group: str | None = None, topic: str | None = None) -> None:
        """What is deleted needs no reset."""
        self._table = {key: held for key, held in self._table.items() if key[0] != group and key[1] != topic}
