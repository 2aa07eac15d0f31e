"""RocketMQ's own benchmark classes as loads: Producer, BatchProducer, TransactionProducer, Consumer.

They come in Maven's rocketmq-example 5.5.0 and run over the 5.3.3 client. Every second from the tenth on they print a
line about the last nine seconds, `Send TPS: 14230 | Max RT(ms): 27 | ...`; a round is read from the last one, so what
came before those nine seconds, with the JVM still compiling, does not count.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass

import psutil

from benchmarks import questions
from benchmarks.figures import Figures
from benchmarks.programs import LAST_WORDS, ProgramFailed, running
from benchmarks.sides import Side
from benchmarks.usage import Usage
from tests.interop import apache

PACKAGE = "org.apache.rocketmq.example.benchmark"
JVM = ("-Xms512m", "-Xmx512m", "-XX:+UseSerialGC")
BODY_BYTES = 500
#: The seconds that a line is about.
LINE_SECONDS = 9
#: The first line, and a second for the JVM to start.
SHORTEST_S = 12
#: A JVM that starts slowly prints its first line later.
LATE_S = 20
#: What was acknowledged must be stored; the two are counted at moments that lie a little apart.
STORED_PART = 0.85
_FIELD = re.compile(r"([A-Z][\w() ]*): *([\d.]+)")


@dataclass(frozen=True)
class Benchmark:
    """A class, its arguments, and the names of two fields of its lines: the rate and the average duration."""

    main: str
    arguments: tuple[str, ...]
    rate: str = "Send TPS"
    average: str = "Average RT(ms)"
    sends: bool = True

    def command(self, namesrv: str, topic: str, home: str) -> list[str]:
        ours = ["-n", namesrv, "-t", topic, "-ri", "1000"]
        if not self.sends:
            ours += ["-g", f"bench-{uuid.uuid4().hex[:8]}"]
        return [
            *("java", *JVM, f"-Duser.home={home}", "-cp", apache.CLASSPATH),
            *(f"{PACKAGE}.{self.main}", *ours, *self.arguments),
        ]


def producer(senders: int) -> Benchmark:
    return Benchmark("Producer", ("-w", str(senders), "-s", str(BODY_BYTES)))


def batch_producer(senders: int, batch: int) -> Benchmark:
    return Benchmark("BatchProducer", ("-w", str(senders), "-s", str(BODY_BYTES), "-b", str(batch)), "Send MPS")


def transaction_producer(senders: int) -> Benchmark:
    return Benchmark("TransactionProducer", ("-w", str(senders), "-s", str(BODY_BYTES)), average="AVG RT(ms)")


def consumer(threads: int) -> Benchmark:
    """Begins at the beginning of a backlog that is still in memory, as each round has a group of its own."""
    return Benchmark("Consumer", ("-w", str(threads)), "Consume TPS", "AVG(S2C) RT(ms)", sends=False)


def play(benchmark: Benchmark, side: Side, topic: str, seconds: float) -> Figures:
    """One round of `seconds` (at least `SHORTEST_S`).

    Raises: ProgramFailed: no line, or acknowledged messages that are not stored.
    """
    questions.create_topic(side.namesrv, topic)
    began_s = time.monotonic()
    log = side.folder / f"{benchmark.main}.out"
    with running(benchmark.command(side.namesrv, topic, str(side.folder)), log) as program:
        client = psutil.Process(program.process.pid)
        end_s = began_s + max(seconds, SHORTEST_S)
        program.stay(end_s - LINE_SECONDS)
        before = Usage.now(side, client, topic)
        program.stay(end_s)
        while f"{benchmark.rate}:" not in program.output and time.monotonic() < end_s + LATE_S:
            program.stay(time.monotonic() + 0.2)
        after = Usage.now(side, client, topic)
        line = last_line(program.output, benchmark.rate)
    figures = before.until(after)
    figures["per_second"] = line[benchmark.rate]
    if benchmark.sends:  # the messages of a backlog are as old as it is
        figures["average_ms"] = line[benchmark.average]
    figures["failed"] = sum(value for name, value in line.items() if "Fail" in name)
    figures["broker_us"] = figures["broker_percent"] / 100 / line[benchmark.rate] * 1e6
    figures["private_mb"] = side.private_mb()
    if benchmark.sends and after.stored - before.stored < STORED_PART * line[benchmark.rate] * LINE_SECONDS:
        raise ProgramFailed(f"{line[benchmark.rate]:,.0f}/s acknowledged, {after.stored - before.stored:,} stored")
    return figures


def last_line(output: str, rate: str) -> dict[str, float]:
    """The fields of the last whole report line.

    Raises: ProgramFailed: there is none, or nothing happened in its seconds.
    """
    lines = [line for line in output.split("\n")[:-1] if f"{rate}:" in line]
    if not lines:
        raise ProgramFailed(f"no line with {rate!r}: {output[-LAST_WORDS:]}")
    fields = {name.strip(): float(value) for name, value in _FIELD.findall(lines[-1].partition("|")[2])}
    if not fields.get(rate):
        raise ProgramFailed(f"nothing was done: {lines[-1]}")
    return fields
