"""The report lines of RocketMQ's benchmark classes, as 5.5.0 prints them."""

from __future__ import annotations

import pytest

from benchmarks import java
from benchmarks.programs import ProgramFailed

NOW = "Current Time: 2026-11-27 12:52:08,389 | "
LINES = [
    (
        java.producer(64),
        "Send TPS: 8000 | Max RT(ms): 31 | Average RT(ms):   7.512 | Send Failed: 0 | Response Failed: 2",
    ),
    (
        java.batch_producer(8, 32),
        "Send TPS: 250 | Send MPS: 8000 | Max RT(ms): 9 | Average RT(ms):   7.512 | "
        "Average Message RT(ms):   0.061 | Send Failed: 1 | Send Message Failed: 32",
    ),
    (
        java.transaction_producer(32),
        "Send TPS:  8000 | Max RT(ms):   88 | AVG RT(ms): 7.512 | Send Failed: 0 | Check: 0 | UnexpectedCheck: 0 | "
        "DuplicatedCheck: 0 ",
    ),
    (
        java.consumer(20),
        "Consume TPS: 8000 | AVG(B2C) RT(ms): 9123.000 | AVG(S2C) RT(ms):   7.512 | MAX(B2C) RT(ms): 9999 | "
        "MAX(S2C) RT(ms): 20 | Consume Fail: 0",
    ),
]


@pytest.mark.parametrize(("benchmark_class", "line"), LINES, ids=[one.main for one, _ in LINES])
def test_a_line_tells_rate_and_average(benchmark_class, line):
    fields = java.last_line(f"topic: bench\n{NOW}{line}\n", benchmark_class.rate)

    assert (fields[benchmark_class.rate], fields[benchmark_class.average]) == (8000, 7.512)


def test_the_last_whole_line_counts():
    lines = "".join(f"{NOW}Send TPS: {rate} | Max RT(ms): 3\n" for rate in (100, 200))

    assert java.last_line(f"{lines}{NOW}Send TPS: 3", "Send TPS")["Send TPS"] == 200


@pytest.mark.parametrize("output", ["", "Exception in thread main\n", f"{NOW}Send TPS: 0 | Max RT(ms): 0\n"])
def test_a_class_that_did_nothing_has_no_figures(output):
    with pytest.raises(ProgramFailed):
        java.last_line(output, "Send TPS")
