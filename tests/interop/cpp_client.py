"""The C++ client, librocketmq: PyPI's `rocketmq` brings it built, with a binding that only passes calls on.

It gets an environment of its own, because it is no dependency of anything here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.interop.apache import Cluster
from tests.interop.judging import Answers, Judge, answers_of, make_topics
from tests.interop.maven import INTEROP

FOLDER = INTEROP / "cpp"
ENVIRONMENT = INTEROP / "target" / "cpp"


def install() -> None:
    stamp, wanted = ENVIRONMENT / "installed", FOLDER / "requirements.txt"
    if stamp.exists() and stamp.stat().st_mtime >= wanted.stat().st_mtime:
        return
    subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    pip = [str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(wanted)], check=True)
    stamp.touch()


def run(cluster: Cluster, folder: Path) -> Answers:
    make_topics(cluster, re.findall(r"^def (\w+)\(topic\)", (FOLDER / "cases.py").read_text(), re.MULTILINE))
    command = [str(ENVIRONMENT / "bin/python"), str(FOLDER / "cases.py"), cluster.namesrv]
    return answers_of(command, cwd=folder, timeout_s=180, env={"HOME": str(folder)})


JUDGE = Judge("C++ client (PyPI rocketmq 0.4.4)", run, install)
