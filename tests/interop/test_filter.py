"""SQL92 expressions and broadcasting: the Java client on both brokers, and RocketMQ's own parser as judge of ours."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from mq.client.local_offset_store import _read, _write
from mq.filter.tests import golden
from mq.message import MessageQueue, properties
from tests.interop import apache
from tests.interop.bundled import bundled_broker

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

CASES = 6
BROKER_KEYS = {"enablePropertyFilter": "true", "messageDelayLevel": "1s 1s 1s 1s 1s"}
JUNIT = (
    "org.junit.platform.console.ConsoleLauncher",
    "execute",
    "--disable-banner",
    "--disable-ansi-colors",
    "--details=tree",
    "--config=junit.jupiter.execution.parallel.enabled=true",
    "--config=junit.jupiter.execution.parallel.mode.default=concurrent",
    "--config=junit.jupiter.execution.parallel.config.strategy=fixed",
    "--config=junit.jupiter.execution.parallel.config.fixed.parallelism=6",
    "--select-class=millrace.FilterTest",
)


@pytest.mark.parametrize("kind", ["bundled", "apache"])
def test_every_case_of_the_java_client_passes(kind: str, tmp_path: Path) -> None:
    apache.build()
    start = apache.apache_rocketmq if kind == "apache" else bundled_broker
    with start(tmp_path, BROKER_KEYS) as cluster:
        run = apache.java(
            *JUNIT,
            jvm=(
                "-Xmx512m",
                f"-Dnamesrv={cluster.namesrv}",
                "-Drocketmq.client.rebalance.waitInterval=1000",
                f"-Duser.home={tmp_path}",
            ),
            timeout_s=200,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert f"{CASES} tests successful" in run.stdout
    # The members of the broadcast left two files, which say that one of them has seen 11 messages.
    files = list((tmp_path / ".rocketmq_offsets").glob("*/*/offsets.json"))
    assert sorted(sum(_read(file).values()) for file in files)[-1] == 11


def verdicts(cases: list[tuple[dict[str, str], str]]) -> list[str]:
    """What RocketMQ's parser says of expressions, each beside the properties of a message."""
    lines = [f"{properties.encode(message).hex()},{expression.encode().hex()}\n" for message, expression in cases]
    command = ["java", "-Xmx256m", "-cp", apache.CLASSPATH, "millrace.FilterJudge"]
    run = subprocess.run(command, input="".join(lines), capture_output=True, text=True, timeout=100, check=True)
    return run.stdout.split()


class TestJudge:
    """RocketMQ reads on only as far as it must; what follows a complete expression we refuse and it ignores."""

    @pytest.mark.parametrize("script", sorted(golden.FOLDER.glob("*.txt")), ids=lambda path: path.stem)
    def test_agrees_with_every_line_of_the_scripts(self, script: Path) -> None:
        apache.build()
        cases = [(case.message, case.expression) for case in golden.cases(script)]

        assert differences(cases) == []

    def test_agrees_with_random_expressions(self) -> None:
        apache.build()
        seed = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
        print(f"seed {seed}")
        chance = random.Random(seed)
        values = [
            "5",
            "-3",
            "1.75",
            "3000000000",
            "abc",
            "true",
            "FALSE",
            "5.0",
            " 5",
            "5f",
            "NaN",
            "1e3",
            "0x1p3",
            "+5",
        ]
        names = ["a", "b", "c", "TAGS"]
        leaves = [*names, "5", "7L", "1.75", "3000000000", "'abc'", "'5'", "TRUE", "FALSE", "NULL", "-5", "- a", "1e3"]
        signs = ["=", "<>", "<", "<=", ">", ">="]

        def expression(depth: int) -> str:
            if depth == 0:
                return chance.choice(
                    [
                        f"{chance.choice(leaves)} {chance.choice(signs)} {chance.choice(leaves)}",
                        f"{chance.choice(names)} {chance.choice(['', 'NOT '])}BETWEEN {chance.choice(leaves)} "
                        f"AND {chance.choice(leaves)}",
                        f"{chance.choice(leaves)} {chance.choice(['', 'NOT '])}IN ('abc', '5', 'true')",
                        f"{chance.choice(leaves)} {chance.choice(['', 'NOT '])}"
                        f"{chance.choice(['CONTAINS', 'STARTSWITH', 'ENDSWITH'])} {chance.choice(leaves)}",
                        f"{chance.choice(leaves)} IS {chance.choice(['', 'NOT '])}NULL",
                        chance.choice(leaves),
                    ]
                )
            parts = [expression(chance.randrange(depth)) for _ in range(chance.randrange(1, 4))]
            joined = f" {chance.choice(['AND', 'OR', '=', '<>'])} ".join(f"({part})" for part in parts)
            return chance.choice(["", "NOT ", "-"]) + joined

        cases = [
            ({name: chance.choice(values) for name in names if chance.random() < 0.7}, expression(chance.randrange(4)))
            for _ in range(20_000)
        ]
        assert differences(cases) == []

    def test_reads_the_offsets_of_our_broadcasting_members(self, tmp_path: Path) -> None:
        apache.build()
        path = tmp_path / "offsets.json"
        _write(path, {MessageQueue("order-events", "broker-a", 0): 5, MessageQueue("order-events", "broker-a", 1): 7})

        run = apache.java("millrace.OffsetsJudge", str(path), timeout_s=60)

        assert sorted(run.stdout.splitlines()) == ["broker-a order-events 0 5", "broker-a order-events 1 7"]


def differences(cases: list[tuple[dict[str, str], str]]) -> list[str]:
    found = []
    for (message, expression), theirs in zip(cases, verdicts(cases), strict=True):
        ours, _, sentence = golden.result_of(expression, message).partition("\n")
        if ours != theirs and "after the end of the expression" not in sentence:
            found.append(f"{expression} of {message}: {theirs}, here {ours} {sentence}")
    return found
