"""A gateway that does not answer is left alone for a moment, instead of keeping every thread waiting for it.

Without this, a gateway that swallows requests costs each caller the whole timeout, and the few threads that consume
for payments would wait for it while orders that need no gateway wait for them. While it rests, callers are told at
once that it is unavailable, and come back later as they would have anyway.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

REST_S = 2.0


class Rest:
    """Remembers, per address, until when nobody should call. Safe to use from many threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_resting(self, address: str) -> bool:
        with self._lock:
            return self._until.get(address, 0.0) > self._clock()

    def failed(self, address: str) -> None:
        with self._lock:
            self._until[address] = self._clock() + REST_S

    def answered(self, address: str) -> None:
        with self._lock:
            self._until.pop(address, None)
