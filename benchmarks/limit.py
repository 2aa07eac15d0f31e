"""A time limit for everything: whatever hangs is left after so many seconds."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

#: Raised again at this distance, in case that the first one was swallowed by a callback of an event loop.
_AGAIN_S = 5.0


class TookTooLong(Exception):
    """What was to happen did not happen in time."""


@contextlib.contextmanager
def time_limit(seconds: float, what: str) -> Iterator[None]:
    """For the main thread.  Raises: TookTooLong: out of whatever the block is waiting for."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"{what}: not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
