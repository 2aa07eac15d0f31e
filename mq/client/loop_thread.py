"""One event loop in a thread, for code that is not asyncio: a call hands its work over and waits on a lock.

Calls go through a queue, and the loop is woken once for all that came meanwhile: with 16 threads that is half again as
fast as `asyncio.run_coroutine_threadsafe`, which makes two futures and wakes the loop for each.

A fork copies the loop's memory but not its thread, and the copy shares the epoll set and the sockets of the parent. The
child must not touch them, not even by throwing them away; so it puts /dev/null in their place first.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar, cast

from mq.client.instance import Client
from mq.event_loop import new_event_loop

Result = TypeVar("Result")

#: How long the end of the process waits for the loop to say goodbye to the brokers.
_EXIT_GRACE_S: Final = 3.0


class _Call(Generic[Result]):
    """One call on its way through the loop; the thread that waits for it holds on to the lock."""

    __slots__ = ("_work", "done", "error", "result")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> None:
        self._work = work
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    async def run(self) -> None:
        try:
            self.result = await self._work()
        except BaseException as error:  # Raised again in the thread that waits, where it belongs.
            self.error = error
        finally:
            self.done.release()


class LoopThread:
    def __init__(self) -> None:
        #: For starting something here once, however many threads ask for it.
        self.lock = threading.Lock()
        self._loop = new_event_loop()
        self._calls: deque[_Call[Any]] = deque()
        self._is_woken = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: list[Client] = []
        self._on_stop: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(target=self._run, name="mq-client", daemon=True)
        self._thread.start()

    def call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Run a coroutine function in the loop; wait for what it returns or raises.

        Raises: RuntimeError: called in the loop's own thread, where it would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("a blocking call inside the client's own loop thread: use the asyncio classes there")
        call = _Call(work)
        self._calls.append(call)
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._take_calls)
        call.done.acquire()
        if call.error is not None:
            raise call.error
        return cast(Result, call.result)

    def adopt(self, client: Client, on_stop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A client lives here now; `on_stop` is what to do before the loop ends."""
        self._clients.append(client)
        self._on_stop.append(on_stop)

    def stop(self) -> None:
        """Do what was left for the end, end the loop, wait for its thread."""
        if self._thread.is_alive():
            for work in self._on_stop:
                with contextlib.suppress(Exception):  # The end of a process is no place to fail.
                    self.call(work)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_EXIT_GRACE_S)

    def abandon(self) -> None:
        """In a forked child: let go of what belongs to the parent."""
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in _descriptors(self._loop, self._clients):
            os.dup2(null, descriptor)
        os.close(null)

    def _take_calls(self) -> None:
        # Cleared first: a call added from here on is either taken below or wakes the loop again.
        self._is_woken = False
        calls = self._calls
        while calls:
            task = self._loop.create_task(calls.popleft().run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


def _descriptors(loop: asyncio.AbstractEventLoop, clients: Iterable[Client]) -> Iterator[int]:
    backend = getattr(
        loop, "_get_backend_id", None
    )  # uvloop's epoll set; asyncio's is not touched by what is collected
    if backend is not None:
        yield backend()
    for client in clients:
        yield from client.descriptors()


_lock = threading.Lock()
_current: LoopThread | None = None
#: Kept, so that nothing in them is ever collected.
_abandoned: list[LoopThread] = []


def loop_thread() -> LoopThread:
    """This process's loop thread; started if need be."""
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                _current = LoopThread()
    return _current


def stop_loop_thread() -> None:
    """Stop this process's loop thread, if there is one; the next call of `loop_thread` starts another."""
    global _current
    with _lock:
        stopped, _current = _current, None
    if stopped is not None:
        stopped.stop()


def _after_fork() -> None:
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        _current.abandon()
        _abandoned.append(_current)
        _current = None


atexit.register(stop_loop_thread)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
