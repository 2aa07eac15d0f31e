"""For tests of races and of chance: threads that start at one moment, and randomness that can be repeated."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connections

#: Set it to the seed a failed test printed, and the test does the same again.
SEED_VARIABLE = "MILLRACE_TEST_SEED"
_TIMEOUT_S = 50


def race(rivals: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all at the same moment, each in a thread with its own database connections; what each returned or raised."""
    results: list[Any] = [TimeoutError("did not finish")] * len(rivals)
    start = threading.Barrier(len(rivals))

    def run(place: int, rival: Callable[[], Any]) -> None:
        try:
            start.wait(_TIMEOUT_S)
            results[place] = rival()
        except Exception as error:  # Part of the result: the test decides what may fail.
            results[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, rival), daemon=True) for place, rival in enumerate(rivals)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_TIMEOUT_S)
    return results


@contextmanager
def database_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads that may use the database; at the end each closes the connections it opened."""
    with ThreadPoolExecutor(count) as pool:
        yield pool
        everybody = threading.Barrier(count)  # So that each thread takes one of the tasks below.

        def leave() -> None:
            everybody.wait(_TIMEOUT_S)
            connections.close_all()

        for left in [pool.submit(leave) for _ in range(count)]:
            left.result()


def seeded() -> random.Random:
    """Chance, with its seed printed: pytest shows it when the test fails."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().getrandbits(32))
    print(f"seed: {SEED_VARIABLE}={seed}")
    return random.Random(seed)
