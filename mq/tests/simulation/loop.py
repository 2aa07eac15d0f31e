"""An event loop whose time is imagined: it never waits, and everything that chance decides comes from one seed.

Between two events the clock jumps, so minutes of a cluster's life take milliseconds. Work for threads runs in the loop,
at a moment that chance picks. Each callback belongs to the `Machine` in whose context it was scheduled; a machine that
was killed runs nothing any more, as a killed process would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import Context, ContextVar
from typing import Any, Final
from unittest.mock import patch

from mq.store import group_commit, queue_reader

#: Wall clock at the moment 0 of every simulated run, in seconds.
EPOCH_S: Final = 1_700_000_000
#: Near the 0.4 ms from which on a broker syncs in a thread, so that runs see both.
MEAN_SYNC_S: Final = 0.0003


class Machine:
    """A process that can be killed. `name` and `life` (how often it was started) tell who it is in a history."""

    def __init__(self, name: str, life: int = 0) -> None:
        self.name = name
        self.life = life
        self.is_alive = True


machine: ContextVar[Machine] = ContextVar("machine")


class _Selector:
    """Instead of waiting for sockets, lets the time pass."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise RuntimeError("nothing is left to happen, but somebody still waits")
        self._loop.now_s += timeout_s
        return []


class SimulatedLoop(BaseEventLoop):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self.now_s = 0.0
        #: What the calls to imagined disks took, for who measures that: it decides whether work goes to a thread.
        self.disk_s = 0.0
        self.chance = random.Random(seed)
        self.network: Any = None
        #: All tasks ever: one that is forgotten is closed by the garbage collector, which runs its `finally` blocks,
        #: and nothing of a killed machine may run.
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)
        self.is_over = False
        self._selector = _Selector(self)
        # Timers at the very same moment fire in the order in which they were set, whatever their rounding.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.now_s

    # typeshed ties `args` to `callback` by a type variable; what we hand on is the pair of them.
    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        return super().call_soon(self._unless_dead, callback, args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        return super().call_at(when, self._unless_dead, callback, args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """What a thread would do, done between two callbacks some milliseconds from now."""
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self.chance.expovariate(1 / 0.002), run)
        return future

    def sync(self, descriptor: int) -> None:
        """A sync of an imagined disk, quick as a rule."""
        self.disk_s += self.chance.expovariate(1 / MEAN_SYNC_S)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return self.network.listen(host, port, protocol_factory)

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        return await self.network.connect(host, port, protocol_factory)

    def bury(self) -> None:
        """End every task, those of the dead as well: after this nothing is left to complain."""
        self.is_over = True
        self.set_exception_handler(lambda *_: None)
        while unfinished := [task for task in self.tasks if not task.done()]:  # Some start others when they end.
            for task in unfinished:
                task.cancel()
            self.run_until_complete(asyncio.wait(unfinished, timeout=5))
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()  # Seen.
        self.close()

    def _process_events(self, events: list[Any]) -> None:
        """There are none."""

    def _unless_dead(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        owner = machine.get(None)
        if owner is None or owner.is_alive or self.is_over:
            callback(*args)

    def _make_task(self, loop: Any, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, context=context)
        self.tasks.append(task)
        return task


class Work(Future[Any]):
    """What a thread was given: done when its moment comes, or when somebody waits for it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self._function = function

    def run(self) -> None:
        if self.done():
            return
        try:
            result = self._function()
        except Exception as error:
            self.set_exception(error)
        else:
            self.set_result(result)

    def result(self, timeout: float | None = None) -> Any:
        self.run()
        return super().result(timeout)


class SimulatedThread:
    """As much of a `ThreadPoolExecutor` of one thread as a store uses. A killed machine's work is not done any more."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def submit(self, function: Callable[..., Any], *args: Any) -> Work:
        work = Work(functools.partial(function, *args))
        self._loop.call_later(self._loop.chance.expovariate(1 / 0.002), work.run)
        return work

    def shutdown(self) -> None:
        """Whoever ends it has waited for its work."""


class SimulatedClock:
    """The wall clock of a simulated machine."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return EPOCH_S * 1000 + int(self._loop.now_s * 1000)


@contextlib.contextmanager
def simulated_time(loop: SimulatedLoop) -> Iterator[None]:
    """Leases, ids and measurements read the module `time`: for the length of a run it tells imagined time as well.

    All of it, and no thread is a real one: else a busy machine would make another run of the same seed.
    """
    imagined = {
        (time, "time"): lambda: EPOCH_S + loop.now_s,
        (time, "time_ns"): lambda: int((EPOCH_S + loop.now_s) * 1e9),
        (time, "monotonic"): lambda: loop.now_s,
        (time, "perf_counter"): lambda: loop.now_s + loop.disk_s,
        (queue_reader, "perf_counter"): lambda: loop.now_s,
    }
    with contextlib.ExitStack() as stack:
        for (module, name), function in imagined.items():
            stack.enter_context(patch.object(module, name, function))
        stack.enter_context(patch.object(group_commit, "ThreadPoolExecutor", lambda *_, **__: SimulatedThread(loop)))
        yield
