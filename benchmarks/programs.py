"""Programs that put a load on a broker: started so that they end when we do, and never run for longer than allowed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.interop.maven import PROJECT

#: Characters of its output that go into the sentence about a failure.
LAST_WORDS = 500


class ProgramFailed(RuntimeError):
    """A load ended too early, said too little, or took too long; with the end of what it said."""


class Program:
    """A running load; `output` is all it has said so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self._log = process, log

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def last_words(self) -> str:
        return self.output[-LAST_WORDS:]

    def wait(self, timeout_s: float) -> int:
        """Its exit status.  Raises: ProgramFailed: it takes longer."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"not done after {timeout_s:.0f} s: {self.last_words}") from None

    def stay(self, until_s: float) -> None:
        """Wait for a moment of the monotonic clock.  Raises: ProgramFailed: the program ended before it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(max(0.0, until_s - time.monotonic()))
            raise ProgramFailed(f"ended with {status}: {self.last_words}")


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[Program]:
    """Run it until the block ends."""
    # The benchmark classes never stop by themselves: not even a SIGKILL to us may leave one behind.
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    with log.open("wb") as out:
        process = subprocess.Popen([*guard, *command], cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Program(process, log)
    finally:
        process.kill()
        process.wait()
