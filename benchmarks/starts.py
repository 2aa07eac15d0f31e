"""Starting: how long until the first send is acknowledged, empty and after a kill, and what an idle broker holds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from benchmarks import fill, questions
from benchmarks.figures import Figures
from benchmarks.pace import Pace
from benchmarks.programs import ProgramFailed
from benchmarks.sides import KilledOnPurpose, Opener, Side
from mq.client import Producer
from mq.message import Message

#: What lies in the log for a message of fill's 500 bytes, at least.
RECORD_BYTES = 600
_IDLE_S = 2.0


@dataclass(frozen=True)
class Starter:
    """A broker that is started in the rounds themselves, each time in a new folder."""

    name: str
    open: Opener
    folder: Path

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        yield

    def suspend(self) -> None:
        """Nothing runs between the rounds."""

    def new_folder(self) -> Path:
        return Path(mkdtemp(dir=self.folder))


def starter(name: str, opener: Opener) -> Callable[[Path], AbstractContextManager[Starter]]:
    def opened(folder: Path) -> AbstractContextManager[Starter]:
        folder.mkdir()
        return contextlib.nullcontext(Starter(name, opener, folder))

    return opened


def first_send(starter: Starter, pace: Pace) -> Figures:
    """Start name server and broker on an empty store, send to a topic that does not exist yet; then let it idle."""
    began_s = time.monotonic()
    with starter.open(starter.new_folder()) as side:
        _send(side)
        start_s = time.monotonic() - began_s
        time.sleep(_IDLE_S)
        return {"start_s": start_s, "private_mb": side.private_mb()}


def after_a_kill(starter: Starter, pace: Pace, *, log_bytes: int) -> Figures:
    """Write a log, end the broker with SIGKILL, start it again on what is left, and send.

    Raises: ProgramFailed: acknowledged messages are missing.
    """
    before, after = starter.new_folder(), starter.new_folder()
    messages = pace.count(log_bytes // RECORD_BYTES)
    with contextlib.suppress(KilledOnPurpose), starter.open(before) as side:
        fill.run(fill.backlog(side.namesrv, "before", messages))
        side.kill()
        raise KilledOnPurpose
    began_s = time.monotonic()
    with starter.open(after, before / "store") as side:
        _send(side)
        start_s = time.monotonic() - began_s
        left = questions.stored(side.namesrv, "before")
    if left < messages:
        raise ProgramFailed(f"{messages:,} acknowledged before the kill, {left:,} there after it")
    return {"start_s": start_s}


def _send(side: Side) -> None:
    async def send() -> None:
        async with Producer("bench-start", namesrv=side.namesrv) as producer:
            await producer.send(Message("first", b"hello"))

    questions.run(send())
