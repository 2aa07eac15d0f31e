"""`python -m mq bench` as a load: it tells percentiles, which RocketMQ's classes do not, and how busy it was itself."""

from __future__ import annotations

import json
import sys

from benchmarks import questions
from benchmarks.figures import Figures
from benchmarks.programs import ProgramFailed, running
from benchmarks.sides import Side

#: Which durations of a load are the ones to show.
DURATIONS = {"produce": "send", "threads": "send", "transaction": "transaction", "latency": "to consumer"}
_PERCENTILES = ("p50", "p99", "p99.9", "max")
#: Beyond the time that the load itself was given: starting, warming up, filling.
_MORE_S = 60.0


def play(side: Side, load: str, arguments: tuple[str, ...], seconds: float) -> Figures:
    """One round.  Raises: ProgramFailed: no report, too slow, or acknowledged messages that are not stored."""
    topic = "mq-bench"
    command = [sys.executable, "-m", "mq", "bench", load, "-n", side.namesrv, "-t", topic, "--json", *arguments]
    questions.create_topic(side.namesrv, topic)
    stored, cpu_s = questions.stored(side.namesrv, topic), side.cpu_seconds()
    with running(command, side.folder / f"{load}.out") as program:
        status = program.wait(seconds + _MORE_S)
        if status not in (0, 1):  # 1: some failed, which the report tells
            raise ProgramFailed(f"mq bench {load} ended with {status}: {program.last_words}")
        report = json.loads(program.output.splitlines()[-1])
    stored, cpu_s = questions.stored(side.namesrv, topic) - stored, side.cpu_seconds() - cpu_s
    figures = {
        "per_second": report["messages_per_second"],
        "failed": sum(report["failures"].values()),
        "client_percent": report["generator_cpu_percent"],
        "private_mb": side.private_mb(),
    }
    if load in ("produce", "transaction", "threads"):  # the others have topics of their own, and sends and pulls mixed
        if stored < report["messages"]:
            raise ProgramFailed(f"{report['messages']:,} acknowledged, {stored:,} stored")
        figures["broker_us"] = cpu_s / stored * 1e6
    durations = report["latency_ms"]
    if load in DURATIONS:
        figures |= {f"{name}_ms": durations[DURATIONS[load]][name] for name in _PERCENTILES}
    if load == "latency":
        figures["late_p99_ms"] = durations["late sends"]["p99"]
    return figures
