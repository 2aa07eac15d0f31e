"""The rows about size: the bundled broker, full, beside another one with little in it, under the same load in turn."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks import fill, own
from benchmarks.figures import Aim, Figures
from benchmarks.pace import Pace
from benchmarks.programs import ProgramFailed, running
from benchmarks.row import Row, Session
from benchmarks.sides import SYNC, Side, bundled

#: What "no slower" means.
SLOWER_AT_MOST: Final = 1.2
#: What happens every 10 or 30 seconds in a broker happens in a round that is about latency.
LATENCY_ROUND_FACTOR: Final = 6
_START_CROWD_WITHIN_S = 60.0


@dataclass(frozen=True)
class Size:
    """How much there is on the one side and on the other."""

    large: int
    small: int

    def of(self, side: Side, pace: Pace) -> int:
        return pace.count(self.large) if side.name == "large" else min(self.small, pace.count(self.large))


BACKLOG, TOPICS, TIMERS, CONNECTIONS = Size(10_000_000, 100_000), Size(1000, 10), Size(1_000_000, 1000), Size(500, 50)


def session(name: str) -> Session:
    return Session(name, {"large": bundled(SYNC, "large"), "small": bundled(SYNC, "small")})


def fill_backlog(side: Side, pace: Pace) -> None:
    fill.run(fill.backlog(side.namesrv, "backlog", BACKLOG.of(side, pace)))


def fill_topics(side: Side, pace: Pace) -> None:
    fill.run(fill.topics(side.namesrv, TOPICS.of(side, pace)))


def fill_timers(side: Side, pace: Pace) -> None:
    fill.run(fill.timers(side.namesrv, TIMERS.of(side, pace)))


def send(side: Side, pace: Pace) -> Figures:
    return own.play(side, "produce", ("--seconds", str(pace.own_s)), pace.own_s)


def consume(side: Side, pace: Pace) -> Figures:
    return own.play(side, "consume", ("-b", "32", "-q", str(pace.count(300_000))), pace.own_s)


def latency(side: Side, pace: Pace) -> Figures:
    seconds = pace.own_s * LATENCY_ROUND_FACTOR
    return own.play(side, "latency", ("-r", "2000", "--seconds", str(seconds)), seconds)


def send_from_many(side: Side, pace: Pace) -> Figures:
    """64 sends at once, each in its turn from another connection."""
    connections = CONNECTIONS.of(side, pace)
    command = [sys.executable, "-m", "benchmarks.crowd", side.namesrv, str(connections), str(pace.own_s)]
    before_s = side.cpu_seconds()
    with running(command, side.folder / "crowd.out") as program:
        status = program.wait(pace.own_s + _START_CROWD_WITHIN_S)
        if status != 0:
            raise ProgramFailed(f"the crowd ended with {status}: {program.last_words}")
        report = json.loads(program.output.splitlines()[-1])
    report["broker_us"] = (side.cpu_seconds() - before_s) / report.pop("messages") * 1e6
    return {**report, "private_mb": side.private_mb()}


def no_slower(figure: str = "per_second") -> Aim:
    return Aim(figure, round(1 / SLOWER_AT_MOST, 2), times=True)


def rows(name: str, what: str, prepare: Callable[[Side, Pace], None], *memory: Aim) -> tuple[Row, Row, Row]:
    """Sending, consuming and latency beside what the large side holds."""
    of, limit_s = session(name), 300.0
    return (
        Row(f"{name}-send", f"{what}: sending", of, send, "per_second", (no_slower(), *memory), prepare, limit_s),
        Row(f"{name}-consume", f"{what}: consuming", of, consume, "per_second", (no_slower(),), prepare, limit_s),
        Row(f"{name}-latency", f"{what}: latency at 2,000/s", of, latency, "p99_ms", (no_slower("p99_ms"),), prepare,
            limit_s),
    )  # fmt: skip


GROWTH = (
    *rows("growth-backlog", "10 M messages backlog", fill_backlog, Aim("private_mb", 100)),
    *rows("growth-topics", "1,000 topics of 8 queues", fill_topics, Aim("private_mb", 200)),
    *rows("growth-timers", "1 M pending timers", fill_timers, Aim("private_mb", 300)),
    Row("growth-connections", "500 connections: sending", session("growth-connections"), send_from_many,
        aims=(no_slower(),)),
)  # fmt: skip
