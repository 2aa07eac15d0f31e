"""What a judge is: a client that we did not write, which runs its cases against a broker and says what it saw.

A judge's program prints one line of JSON for each case, `{"case": "...", "answer": "..."}`: what a user of the client
sees, without identifiers and times, so that the answers of two brokers can be compared as texts. A case that did not
come to its end says so with an answer that begins with `FAILED`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mq.client import Admin
from tests.interop.apache import Cluster

FAILED = "FAILED"
#: Case to answer, in the order of the program.
Answers = dict[str, str]
#: By the kind of broker, "bundled" and "apache": what a judge saw there.
Seen = dict[str, Answers]


@dataclass(frozen=True)
class Judge:
    """`run` plays all cases on a cluster, with a folder for what the client writes; `tools` must be on the PATH.

    `differences` names the cases in which the bundled broker answers otherwise on purpose, each with its reason.
    """

    name: str
    run: Callable[[Cluster, Path], Answers]
    prepare: Callable[[], None]
    tools: tuple[str, ...] = ()
    differences: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: Its cases look at everything that a cluster holds, so nobody else may have used it.
    needs_fresh_cluster: bool = False

    def __str__(self) -> str:
        return self.name

    def require_tools(self) -> None:
        """Skip on a machine without its tools; in CI that is a failure, because then nobody would have judged."""
        missing = [tool for tool in self.tools if shutil.which(tool) is None]
        if missing:
            reason = f"{self.name} is not asked: no {', '.join(missing)} on this machine"
            (pytest.fail if "CI" in os.environ else pytest.skip)(reason)


def make_topics(cluster: Cluster, names: Iterable[str]) -> None:
    """Topics of four queues, for clients that cannot make their own."""

    async def make() -> None:
        async with Admin(namesrv=cluster.namesrv) as admin:
            for name in names:
                await admin.create_topic(name, queue_count=4)

    asyncio.run(make())


def answers_of(command: list[str], *, cwd: Path, timeout_s: float, env: Mapping[str, str] | None = None) -> Answers:
    """Run a judge's program to its end and read its lines; what it says besides is for the log."""
    run = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    print(run.stdout, run.stderr[-20000:])
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"case":')]
    assert run.returncode == 0, f"{command[0]} ended with {run.returncode}: {run.stderr[-3000:]}"
    assert lines, "no case was run"
    return {line["case"]: line["answer"] for line in lines}
