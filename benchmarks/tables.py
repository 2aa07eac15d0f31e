"""The tables of docs/performance.md."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.figures import Figures, median, spread, times_better
from benchmarks.results import Result
from benchmarks.row import Row
from mq.bench.measure import GENERATOR_LIMIT_PERCENT

Measured = Sequence[tuple[Row, Result]]

#: In percent: above, a broker of one loop is at its end, and a machine with less than the second one idle at its own.
LOOP_FULL, MACHINE_FULL = 90, 10
#: A generator that is later than this measured itself, at least in part, and the cell says so.
LATE_MS = 1.0
#: Two sessions and thus not in turn: our promise to have every message on disk, against Apache without it.
SYNC_AGAINST_ASYNC = ("send-64-sync", "send-64-async", 2.0)


def sides(row: Row, result: Result) -> tuple[list[Figures], list[Figures]]:
    """The rounds of ours and of the one it is compared with."""
    first, second = (result.sides[side] for side in row.session.sides)
    return first, second


def comparison(measured: Measured) -> Iterator[str]:
    yield "| what | bundled | Apache | ratio (rounds) | aim | broker us/message |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row, result in measured:
        yield _line(row, result)
    by_name = {row.name: result for row, result in measured}
    ours, theirs, limit = SYNC_AGAINST_ASYNC
    if ours in by_name and theirs in by_name:
        sync, asynchronous = by_name[ours].sides["bundled"], by_name[theirs].sides["apache"]
        ratio = times_better("per_second", sync, asynchronous)
        verdict = _verdict(f">= {limit:g}x", ratio >= limit)
        yield f"| 64 senders: our SYNC_FLUSH, Apache's ASYNC_FLUSH | {_main(sync, 'per_second')} | " + (
            f"{_main(asynchronous, 'per_second')} | {ratio:.2f}x | {verdict} | |"
        )


def growth(measured: Measured) -> Iterator[str]:
    yield "| what | full | with little in it | ratio (rounds) | aim | broker us/message |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row, result in measured:
        yield _line(row, result)


def _line(row: Row, result: Result) -> str:
    first, second = sides(row, result)
    worst, best = spread(row.figure, first, second)
    ratio = f"{times_better(row.figure, first, second):.2f}x ({worst:.2f}-{best:.2f})"
    aims = "<br>".join(_verdict(str(aim), aim.is_met(first, second)) for aim in row.aims)
    per_message = " / ".join(f"{median('broker_us', side):.1f}" for side in (first, second) if "broker_us" in side[0])
    memory = any(aim.figure == "private_mb" for aim in row.aims)
    size = float(result.environment.get("size", "1"))
    title = row.title if size == 1 else f"{row.title} (at {size:g} of the size)"
    cells = [title, *(_main(side, row.figure, memory=memory) for side in (first, second)), ratio, aims, per_message]
    return f"| {' | '.join(cells)} |"


def _verdict(aim: str, is_met: bool) -> str:
    return aim if is_met else f"**missed:** {aim}"


def _main(rounds: Sequence[Figures], figure: str, *, memory: bool = False) -> str:
    """A side's medians in a cell: its main figure, then the durations that it has."""
    parts = []
    if figure == "per_second":
        parts.append(f"{median('per_second', rounds):,.0f}/s")
    if figure == "start_s":
        parts.append(f"{median('start_s', rounds):.2f} s")
    if "p99_ms" in rounds[0]:
        three = " / ".join(_short(median(name, rounds)) for name in ("p50_ms", "p99_ms", "p99.9_ms"))
        parts.append(f"p50 / p99 / p99.9 {three} ms")
    elif "average_ms" in rounds[0]:
        parts.append(f"mean {_short(median('average_ms', rounds))} ms")
    if (late_ms := median("late_p99_ms", rounds)) > LATE_MS:
        parts.append(f"of that, the generator was late: p99 {_short(late_ms)} ms")
    if memory:
        parts.append(f"{median('private_mb', rounds):.0f} MiB")
    if failed := sum(one.get("failed", 0) for one in rounds):
        parts.append(f"{failed:.0f} failed")
    return ", ".join(parts)


def _short(value: float) -> str:
    """Three digits, or as many as there are before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def where_time_went(measured: Measured) -> Iterator[str]:
    """Shares of processor time during the loads that tell them, and what follows from them."""
    yield "| what | bundled: broker, load, machine idle | bound by | Apache: broker, load, machine idle | bound by |"
    yield "| --- | --- | --- | --- | --- |"
    for row, result in measured:
        first, second = sides(row, result)
        if "client_percent" in first[0]:
            is_paced = row.figure == "p99_ms"
            cells = [
                cell for side in (first, second) for cell in (_shares(side), "its pace" if is_paced else bound_by(side))
            ]
            yield f"| {row.title} | {' | '.join(cells)} |"


def _shares(rounds: Sequence[Figures]) -> str:
    shares = [median(name, rounds) for name in ("broker_percent", "client_percent", "idle_percent")]
    return ", ".join("-" if math.isnan(share) else f"{share:.0f} %" for share in shares)


def bound_by(rounds: Sequence[Figures]) -> str:
    """What a round could not go faster than: the end of the machine, of one loop, or waiting."""
    broker, client, idle = (median(name, rounds) for name in ("broker_percent", "client_percent", "idle_percent"))
    if idle < MACHINE_FULL:
        return f"all cores, {'the broker' if broker > client else 'the load'} most of it"
    if broker > LOOP_FULL:
        return "the broker's loop"
    if math.isnan(idle) and client > GENERATOR_LIMIT_PERCENT:
        return "the load's loop"
    return "waiting for each other and the disk"


def machines(results: Iterable[Result]) -> Iterator[str]:
    """Every fact once, with all the values that it had during the measurements."""
    facts: dict[str, list[str]] = {}
    for result in results:
        for name, value in result.environment.items():
            known = facts.setdefault(name, [])
            if value not in known:
                known.append(value)
    for name, values in facts.items():
        if name in ("when", "disk"):
            values = sorted(values, key=lambda text: re.findall(r"[\d.:-]+", text))
            values = values if len(values) == 1 else [values[0], values[-1]]
            yield f"- {name}: {' to '.join(values)}"
        else:
            yield f"- {name}: {'; '.join(values)}"
