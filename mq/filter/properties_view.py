"""The properties of one message, of which only those are looked up that an expression comes to ask for.

Source: RocketMQ MessageEvaluationContext; MessageDecoder.string2messageProperties, where of two the last counts.
"""

from __future__ import annotations

from typing import Final

from mq.filter.values import NotComparable

#: Bytes that one evaluation may look at, or as much other work. At 1.5 ns a byte that is 0.6 ms; the 200 bytes of usual
#: properties allow for thousands of lookups, the 32,767 at most for twelve. Counted rather than timed: whether
#: a message matches must not depend on how busy the machine is.
MAX_WORK: Final = 400_000
#: What passing over an entry without a value costs.
_EMPTY_ENTRY_WORK: Final = 500


class PropertiesView(dict[bytes, str | None]):
    """By `marker_of(name)`; None for what the message has not. A lookup costs 0.5 us the first time, then nothing."""

    __slots__ = ("_left", "_text")

    def __init__(self, text: bytes) -> None:
        self._text = b"\x02" + text
        self._left = MAX_WORK

    def __missing__(self, marker: bytes) -> str | None:
        text = self._text
        self.spend(len(text))
        at = text.rfind(marker)
        while at >= 0:
            start = at + len(marker)
            end = text.find(b"\x02", start)
            found = text[start:] if end < 0 else text[start:end]
            if found:
                value = self[marker] = found.decode(errors="replace")
                return value
            self.spend(_EMPTY_ENTRY_WORK)  # without a value an entry does not count, but an earlier one may
            at = text.rfind(marker, 0, at + 1)
        self[marker] = None
        return None

    def spend(self, work: int) -> None:
        """Raises: TooMuchWork: with this, more than `MAX_WORK`."""
        self._left -= work
        if self._left < 0:
            raise TooMuchWork(f"more than {MAX_WORK} bytes to look at")


class TooMuchWork(NotComparable):
    """The evaluation was given up; as everywhere where an expression fails, the message does not match."""


def marker_of(name: str) -> bytes:
    """What the entry of a property begins with, together with the end of the one before."""
    return b"\x02" + name.encode() + b"\x01"
