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
from config.supervisor.health import Probe
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
_LOOK_EVERY_S: Final = 0.05
#: While it runs, it is asked this often; one that did not answer for so long is taken for dead. Generous: a machine may
#: be very busy, and a restart helps nobody then.
_ASK_EVERY_S: Final = 3.0
_ANSWER_S: Final = 5.0
_PATIENCE_S: Final = 60.0
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
        self._timeout_s = timeout_s
        self._note(Health.STARTING)
        process = await self._launch()
        await self._until_ready(process)
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
            if self.state.health is not Health.DONE:
                self._note(Health.STOPPED)
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
            if isinstance(self.part.ready, str) and self.part.ready in text:
                self._said_ready.set()

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        """Raises: CannotStart: it ended, or was not ready in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._ready_or_ended(process)
        except TimeoutError:
            raise CannotStart(
                f"{self.part.name} was not ready within {self._timeout_s:.0f} s: see {self._log.path}."
            ) from None

    async def _ready_or_ended(self, process: asyncio.subprocess.Process) -> None:
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
        if isinstance(self.part.ready, Probe):
            while not await self.part.ready.succeeds():  # noqa: ASYNC110 - another process cannot set an event
                await asyncio.sleep(_LOOK_EVERY_S)
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
            await self._until_it_ends(process)
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
                _kill(process)
            else:
                self._note(Health.HEALTHY)
                self._say(f"{self.part.name} is back (pid {process.pid})")

    async def _until_it_ends(self, process: asyncio.subprocess.Process) -> None:
        """Ask it every now and then whether it is alive; one that is silent for too long is killed."""
        ended = asyncio.create_task(process.wait())
        heard_s = time.monotonic()
        try:
            while not (await asyncio.wait({ended}, timeout=_ASK_EVERY_S))[0]:
                if await self._answers(process):
                    heard_s = time.monotonic()
                    self._note_if_new(Health.HEALTHY)
                elif not ended.done():
                    self._note_if_new(Health.UNRESPONSIVE)
                if time.monotonic() - heard_s > _PATIENCE_S:
                    self._say(f"{self.part.name} has not answered for {_PATIENCE_S:.0f} s and is killed")
                    _kill(process)
                    await ended
        finally:
            ended.cancel()

    async def _answers(self, process: asyncio.subprocess.Process) -> bool:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                return False
        return self.part.alive is None or await self.part.alive.succeeds(timeout_s=_ANSWER_S)

    async def _launch_somehow(self) -> asyncio.subprocess.Process:
        while True:
            try:
                return await self._launch()
            except CannotStart as error:  # No memory, no disk: what was there before may be there again.
                self._say(str(error))
                await asyncio.sleep(_LONGEST_PAUSE_S)

    def _note_if_new(self, health: Health) -> None:
        if self.state.health is not health:
            self._say(f"{self.part.name} is {health}")
            self._note(health)

    def _note(self, health: Health) -> None:
        self.state.health = health
        self._changed()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _how_ended(process: asyncio.subprocess.Process) -> str:
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"


async def _next_line(output: asyncio.StreamReader) -> bytes:
    try:
        return await output.readline()
    except ValueError:  # Longer than the limit: the reader dropped what it held and goes on behind it.
        return b"(a line too long to keep)\n"
