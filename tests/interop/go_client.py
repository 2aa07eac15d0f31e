"""The Go client, v2: the cases in `interop/go`, each with clients of its own, all at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.interop.apache import Cluster
from tests.interop.judging import Answers, Judge, answers_of
from tests.interop.maven import INTEROP

PROGRAM = INTEROP / "target" / "go-client"


def build() -> None:
    PROGRAM.parent.mkdir(exist_ok=True)
    subprocess.run(["go", "build", "-o", PROGRAM, "."], cwd=INTEROP / "go", check=True)


def run(cluster: Cluster, folder: Path) -> Answers:
    return answers_of([str(PROGRAM), cluster.namesrv, cluster.broker], cwd=folder, timeout_s=180)


JUDGE = Judge("Go client v2.1.2", run, build, tools=("go",))
