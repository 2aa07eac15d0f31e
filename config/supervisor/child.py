"""One process of the shop while it lives: started, heard, restarted when it dies, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Final

import psutil

from config import processes
from config.errors import CannotStart
from config.supervisor import health
from config.supervisor.logs import Log
from config.supervisor.parts import Part
from config.supervisor.state import Health, PartState, ProcessId

#: Between a death and the next start: twice as long each time, until it has lived for a while.
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 30.0
_STEADY_AFTER_S: Final = 60.0
#: A line longer than this comes in pieces: no process may make the supervisor hold more.
_LINE_BYTES_MAX: Final = 64 * 1024
_STOP_S: Final = 20.0
_HEALTH_EVERY_S: Final = 0.05
_LAST_WORDS_S: Final = 2.0


class Child:
    """Keeps one part running. `changed` is called whenever `state` is no longer what it was."""

    def __init__(self, part: Part, *, log: Log, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self.part = part
        self.state = PartState(part.name, part.address)
        self._log = log
        self._say = say
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._hearing: asyncio.Task[None]
        self._keeping: asyncio.Task[None] | None = None
        self._said_ready = asyncio.Event()
        self._last_lines: deque[str] = deque(maxlen=2)

    async def start(self, *, lock: int, timeout_s: float) -> None:
        """Start it and wait until it is ready; from then on it is kept running.

        Raises: CannotStart: it ended, or was not ready in time; the sentence quotes its last words.
        """
        began_s = time.monotonic()
        self._lock = lock
        self._note(Health.STARTING)
        process = await self._launch()
        try:
            async with asyncio.timeout(timeout_s):
                await self._until_ready(process)
        except TimeoutError:
            raise CannotStart(
                f"{self.part.name} was not ready within {timeout_s:.0f} s: see {self._log.path}."
            ) from None
        self.state.started_after_s = round(time.monotonic() - began_s, 2)
        if self.part.is_task:
            self._note(Health.DONE)
        else:
            self._note(Health.HEALTHY)
            self._keeping = asyncio.create_task(self._keep(process))

    async def stop(self) -> None:
        """Ask it to stop, insist after a while, and leave nothing of it behind."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is not None:
            await self._end(self._process)
            self._note(Health.DONE if self.part.is_task else Health.STOPPED)
        self._log.close()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.part.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), _STOP_S)
            except TimeoutError:
                self._say(f"{self.part.name} did not stop within {_STOP_S:.0f} s and is killed")
        await self._bury(process)

    # ---- one life

    async def _launch(self) -> asyncio.subprocess.Process:
        self._said_ready.clear()
        try:
            if self.part.prepare is not None:
                await asyncio.to_thread(self.part.prepare)
            process = self._process = await self._spawn()
        except OSError as error:
            raise CannotStart(f"{self.part.name} cannot be run: {error}") from error
        with contextlib.suppress(psutil.NoSuchProcess):  # Gone already: whoever waits for it will say so.
            self.state.process = ProcessId.of(process.pid)
        self._changed()
        return process

    async def _spawn(self) -> asyncio.subprocess.Process:
        options = processes.options(
            death_signal=self.part.stop_signal,
            unprivileged=self.part.unprivileged,
            directory=self.part.directory,
            environment=self.part.environment,
            keep_open=(self._lock,),
        )
        # A pipe of our own: asyncio's would make `wait` wait for grandchildren, too, who hold its other end.
        output, its_end = os.pipe()
        self._hearing = asyncio.create_task(self._hear(os.fdopen(output, "rb")))
        try:
            return await asyncio.create_subprocess_exec(*self.part.command, stdout=its_end, **options)
        finally:
            os.close(its_end)

    async def _hear(self, output: IO[bytes]) -> None:
        reader = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, output)
        with contextlib.closing(transport):
            await self._hear_lines(reader)

    async def _hear_lines(self, output: asyncio.StreamReader) -> None:
        while line := await _next_line(output):
            self._log.write(line)
            text = line.decode(errors="replace").strip()
            if text:
                self._last_lines.append(text)
            if self.part.ready is not None and self.part.ready in text:
                self._said_ready.set()

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        ended = asyncio.create_task(process.wait())
        ready = asyncio.create_task(self._ready())
        try:
            await asyncio.wait({ended, ready}, return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                return
        finally:
            ready.cancel()
            ended.cancel()
        await self._bury(process)
        if self.part.is_task and process.returncode == 0:
            return
        raise CannotStart(f"{self.part.name} did not start ({_how_ended(process)}): {' '.join(self._last_lines)}")

    async def _ready(self) -> None:
        if self.part.health_url is not None:
            while not await health.answers(self.part.health_url):  # noqa: ASYNC110 - another process cannot set an event
                await asyncio.sleep(_HEALTH_EVERY_S)
        else:
            await self._said_ready.wait()

    async def _bury(self, process: asyncio.subprocess.Process) -> None:
        """Whatever it started in its own process group goes with it: a worker left over would hold its port."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        # Who has left the group may hold the pipe a little longer (PostgreSQL's sessions, when their server is killed).
        await asyncio.wait({self._hearing}, timeout=_LAST_WORDS_S)
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)

    # ---- life after life

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            born_s = time.monotonic()
            await process.wait()
            await self._bury(process)
            if time.monotonic() - born_s > _STEADY_AFTER_S:
                pause_s = _FIRST_PAUSE_S
            self.state.restarts += 1
            self._note(Health.RESTARTING)
            self._say(f"{self.part.name} ended ({_how_ended(process)}); started again in {pause_s:.1f} s")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            process = await self._launch_somehow()
            try:
                await self._until_ready(process)
            except CannotStart as error:
                self._say(str(error))
            else:
                self._note(Health.HEALTHY)
                self._say(f"{self.part.name} is back (pid {process.pid})")

    async def _launch_somehow(self) -> asyncio.subprocess.Process:
        while True:
            try:
                return await self._launch()
            except CannotStart as error:  # No memory, no disk: what was there before may be there again.
                self._say(str(error))
                await asyncio.sleep(_LONGEST_PAUSE_S)

    def _note(self, health: Health) -> None:
        self.state.health = health
        self._changed()


def _how_ended(process: asyncio.subprocess.Process) -> str:
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"


async def _next_line(output: asyncio.StreamReader) -> bytes:
    try:
        return await output.readline()
    except ValueError:  # Longer than the limit: the reader dropped what it held and goes on behind it.
        return b"(a line too long to keep)\n"
