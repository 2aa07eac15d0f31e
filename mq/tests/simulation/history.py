"""What clients of a simulated cluster saw, and what must be true of it. The broker writes nothing here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from mq.message import ReceivedMessage


@dataclass
class History:
    """Bodies are unique: `key:number` for the ordered flow, `tx:number` for transactions."""

    tried: set[bytes] = field(default_factory=set)
    acknowledged: set[bytes] = field(default_factory=set)
    committed: set[bytes] = field(default_factory=set)
    rolled_back: set[bytes] = field(default_factory=set)
    #: Per group, in the order in which handlers finished.
    consumed: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    #: What lies where, told by every consumer that read it.
    places: dict[tuple[str, int, int], set[bytes]] = field(default_factory=lambda: defaultdict(set))

    def note(self, group: str, message: ReceivedMessage) -> None:
        self.consumed[group].append(message.body)
        if not message.reconsume_times:  # A retry tells of its place in the retry topic, under its old topic's name.
            self.places[message.topic, message.queue_id, message.queue_offset].add(message.body)

    def wanted(self) -> set[bytes]:
        """What every group must have consumed in the end."""
        return self.acknowledged | self.committed

    def is_complete(self, groups: list[str]) -> bool:
        return all(self.wanted() <= set(self.consumed[group]) for group in groups)

    def check(self, groups: list[str], ordered_group: str) -> None:
        """Nothing lost, nothing invented, nothing shown that was taken back, each place one message, order kept."""
        for group in groups:
            seen = set(self.consumed[group])
            assert self.wanted() <= seen, f"{group} never got {sorted(self.wanted() - seen)[:5]}"
            assert seen <= self.tried, f"{group} got what nobody sent: {sorted(seen - self.tried)[:5]}"
            assert not seen & self.rolled_back, (
                f"{group} got what was rolled back: {sorted(seen & self.rolled_back)[:5]}"
            )
        doubled = {place: bodies for place, bodies in self.places.items() if len(bodies) > 1}
        assert not doubled, f"one place, several messages: {doubled}"
        self._check_order(ordered_group)

    def _check_order(self, group: str) -> None:
        """A sender goes on to the next number of a key when the one before is acknowledged; so must they be seen."""
        firsts: dict[bytes, list[int]] = defaultdict(list)
        for body in dict.fromkeys(self.consumed[group]):
            key, _, number = body.partition(b":")
            if key != b"tx":
                firsts[key].append(int(number))
        for key, numbers in firsts.items():
            assert numbers == sorted(numbers), f"{group} saw the messages of {key!r} as {numbers}"
