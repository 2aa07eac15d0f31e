"""The Node client, npm's `ali-ons`: the cases in `interop/node`, each with clients of its own, all at once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.interop.apache import Cluster
from tests.interop.judging import Answers, Judge, answers_of, make_topics
from tests.interop.maven import INTEROP

FOLDER = INTEROP / "node"
INSTALLED = FOLDER / "node_modules" / ".package-lock.json"


def install() -> None:
    """What the lock file names, checked by its hashes."""
    lock = FOLDER / "package-lock.json"
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= lock.stat().st_mtime:
        return
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=FOLDER, check=True)


def run(cluster: Cluster, folder: Path) -> Answers:
    names = re.findall(r"^  async '([\w ]+)'", (FOLDER / "cases.js").read_text(), re.MULTILINE)
    make_topics(cluster, [f"node-{name.replace(' ', '-')}" for name in names])
    return answers_of(["node", str(FOLDER / "cases.js"), cluster.namesrv], cwd=folder, timeout_s=180)


JUDGE = Judge("Node client ali-ons 3.12.0", run, install, tools=("node", "npm"))
