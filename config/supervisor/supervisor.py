"""The process that keeps the shop: starts the parts stage by stage, keeps them running, stops them in reverse order.

Everything happens in one event loop on the main thread, which is also the thread whose end Linux tells the children:
when the supervisor is gone, however it went, so are they.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from config.errors import CannotStart
from config.supervisor import state
from config.supervisor.child import Child
from config.supervisor.logs import Log
from config.supervisor.parts import Plan
from config.supervisor.state import Health, PartState, Phase, ProcessId, State

#: For each part, and again at each later start. Generous: a machine that is very busy is slow, not broken.
_START_S: Final = 120.0


class Supervisor:
    """One run of a shop; `lock` is its data directory's, see `instance.lock`."""

    def __init__(self, data: Path, plan: Plan, *, lock: int, echo: bool, watch: Callable[[State], None]) -> None:
        self._data = data
        self._lock = lock
        self._watch = watch
        self._log = Log(data / "logs", "supervisor", echo=echo)
        logs = (Log(data / "logs", part.name, echo=echo, number=number) for number, part in enumerate(plan.parts))
        self._children = [
            Child(part, log=log, say=self._log.say, changed=self._changed)
            for part, log in zip(plan.parts, logs, strict=True)
        ]
        external = [PartState(name, address, Health.EXTERNAL) for name, address in plan.external.items()]
        self.state = State(
            data=str(data),
            phase=Phase.STARTING,
            supervisor=ProcessId.of(os.getpid()),
            parts=[*(child.state for child in self._children), *external],
            urls=dict(plan.urls),
        )

    async def run(self) -> None:
        """Keep the shop until SIGTERM or SIGINT.

        Raises: CannotStart: a part did not come up; what had been started is stopped again.
        """
        told_to_stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
        stopping = asyncio.create_task(told_to_stop.wait())
        starting = asyncio.create_task(self._start())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._enter(Phase.READY)
                await stopping
        except CannotStart as error:
            self.state.reason = str(error)
            self._log.say(str(error))
            raise
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._stop()
            self._log.close()

    async def _start(self) -> None:
        self._changed()
        for _, stage in itertools.groupby(self._children, key=lambda child: child.part.stage):
            # The first failure cancels the others; everything that was started is stopped by `run`.
            try:
                async with asyncio.TaskGroup() as group:
                    for child in stage:
                        group.create_task(child.start(lock=self._lock, timeout_s=_START_S))
            except ExceptionGroup as failures:
                raise next((one for one in failures.exceptions if isinstance(one, CannotStart)), failures) from None

    async def _stop(self) -> None:
        self._enter(Phase.STOPPING)
        for _, stage in itertools.groupby(reversed(self._children), key=lambda child: child.part.stage):
            await asyncio.gather(*(child.stop() for child in stage))
        self._enter(Phase.FAILED if self.state.reason else Phase.STOPPED)

    def _enter(self, phase: Phase) -> None:
        self.state.phase = phase
        self._log.say(f"the shop is {phase}")
        self._changed()

    def _changed(self) -> None:
        state.write(self._data, self.state)
        self._watch(self.state)
