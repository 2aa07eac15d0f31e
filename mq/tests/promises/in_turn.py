"""Comparing two costs on a machine that others use too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Measurement = Callable[[], Awaitable[float]]

ROUNDS_MIN, ROUNDS_MAX = 4, 40


async def least_in_turn(alone: Measurement, beside: Measurement, *, ratio: float) -> tuple[float, float]:
    """The least that each gave, measured in turn until `beside` is within `ratio` of `alone`, or rounds are over.

    What else the machine does strikes both and only ever adds; so the least is the nearest to what a thing costs by
    itself, and what costs more by itself stays beyond the ratio however often it is measured.
    """
    alone_least = beside_least = float("inf")
    for number in range(ROUNDS_MAX):
        alone_least = min(alone_least, await alone())
        beside_least = min(beside_least, await beside())
        if number + 1 >= ROUNDS_MIN and beside_least <= ratio * alone_least:
            break
    return alone_least, beside_least
