"""One background task of a broker: a round of work, a pause, the next round, until it is stopped.

What a service does in a round is a coroutine that returns how long to pause. A round that fails is logged and tried
again after a while: rounds move their progress only when their work is done, so trying again loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger(__name__)

#: The pause after a round that failed (RocketMQ's scheduler waits 10 s; a full disk may have room sooner).
RETRY_PAUSE_S: Final = 1.0


class Background:
    def __init__(self, name: str, round_: Callable[[], Awaitable[float]]) -> None:
        self._name = name
        self._round = round_
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_failure = ""
        #: For rounds that could go on for long: end early, what is left waits for the next start.
        self.is_stopping = False

    def start(self) -> None:
        self.is_stopping = False
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    async def stop(self) -> None:
        """Let the current round finish, then end."""
        self.is_stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def _run(self) -> None:
        while not self.is_stopping:
            pause_s = await self._try()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _try(self) -> float:
        try:
            pause_s = await self._round()
        except Exception as error:  # whatever it is, a service that silently ended would be worse
            if str(error) != self._last_failure:  # once per cause: a full disk stays full for a while
                logger.exception("%s failed; trying again every %g s", self._name, RETRY_PAUSE_S)
            self._last_failure = str(error)
            return RETRY_PAUSE_S
        if self._last_failure:
            logger.info("%s works again", self._name)
            self._last_failure = ""
        return pause_s
