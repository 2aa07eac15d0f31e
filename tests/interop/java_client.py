"""The official Java client, of two releases: the JUnit classes in `interop/src` that carry no tag.

A class with a tag needs a broker that is set up for it (access control, TLS), and a test of its own that starts one.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from tests.interop.apache import Cluster
from tests.interop.judging import FAILED, Answers, Judge
from tests.interop.maven import V4, V5, Module

PARALLEL = 6
JUNIT = (
    "org.junit.platform.console.ConsoleLauncher",
    "execute",
    "--disable-banner",
    "--disable-ansi-colors",
    "--details=tree",
    "--config=junit.jupiter.execution.parallel.enabled=true",
    "--config=junit.jupiter.execution.parallel.mode.default=concurrent",
    "--config=junit.jupiter.execution.parallel.config.strategy=fixed",
    f"--config=junit.jupiter.execution.parallel.config.fixed.parallelism={PARALLEL}",
)
#: No more than these: what has a tag is for a test that starts the right broker for it.
UNTAGGED = "--include-tag=none()"


def run(module: Module, cluster: Cluster, folder: Path) -> Answers:
    jvm = (
        "-Xmx512m",
        f"-Dnamesrv={cluster.namesrv}",
        "-Dlevel2.ms=2000",
        "-Drocketmq.client.rebalance.waitInterval=1000",
        f"-Duser.home={folder}",
    )

    def play(*which: str) -> dict[str, str]:
        done = module.java(*JUNIT, *which, f"--reports-dir={folder}", jvm=jvm, timeout_s=300)
        print(done.stdout, done.stderr)
        return outcomes(folder / "TEST-junit-jupiter.xml")

    answers = play(f"--scan-classpath={module.target / 'classes'}", UNTAGGED)
    # Six cases at once on each of two brokers: on two cores some case may wait too long. Alone it must not.
    if failed := [method for method, answer in answers.items() if answer.startswith(FAILED)]:
        answers |= play(*(f"--select-method={method}" for method in failed))
    return dict(sorted((sentence(method.partition("#")[2]), answer) for method, answer in answers.items()))


def outcomes(report: Path) -> dict[str, str]:
    """What JUnit wrote about each case, by `class#method`; a failure keeps its first line."""
    answers = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        failure = case.find("failure") if case.find("failure") is not None else case.find("error")
        answer = "passes" if failure is None else f"{FAILED}: {failure.get('message', '')}".partition("\n")[0]
        answers[f"{case.get('classname')}#{case.get('name', '').removesuffix('()')}"] = answer
    return answers


def sentence(method: str) -> str:
    """`offsetsAreRememberedByTheBroker` as a person would write it."""
    return re.sub(r"(?<!^)([A-Z])", lambda match: f" {match[1].lower()}", method)


def judge(version: str, module: Module) -> Judge:
    return Judge(
        name=f"Java client {version}",
        run=lambda cluster, folder: run(module, cluster, folder),
        prepare=module.build,
        tools=("java", "javac", "mvn"),
    )


JUDGES = (judge("5.3.3", V5), judge("4.9.8", V4))
