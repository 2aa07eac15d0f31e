"""Java programs out of a Maven module: compiled, with their jars beside them, and run by `java` directly."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
INTEROP = PROJECT / "interop"


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Nobody else builds there meanwhile: the tests run in two processes."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Module:
    """A folder with a pom.xml, and the folder that it builds into."""

    folder: Path
    target: Path

    @property
    def classpath(self) -> str:
        return f"{self.target / 'classes'}:{self.target / 'lib'}/*"

    def build(self) -> None:
        """Compile the Java sources and fetch the jars, when anything is newer than the last build."""
        stamp = self.target / "built"
        sources = [self.folder / "pom.xml", *INTEROP.glob("src/**/*.java")]
        with alone(self.target):
            if stamp.exists() and stamp.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
                return
            subprocess.run(["mvn", "-q", "-B", "-ntp", "compile"], cwd=self.folder, check=True)
            stamp.touch()

    def java(
        self, *arguments: str, timeout_s: float, jvm: tuple[str, ...] = ("-Xmx512m",)
    ) -> subprocess.CompletedProcess[str]:
        """Run one of our Java programs, or one out of the jars, to its end."""
        command = ["java", *jvm, "-cp", self.classpath, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


#: Everything of RocketMQ 5.3.3: client, broker, store classes, tools.
V5 = Module(INTEROP, INTEROP / "target")
#: The client and tools of 4.9.8, which cannot share a class path with those.
V4 = Module(INTEROP / "client-4.9.8", INTEROP / "target/client-4.9.8")
