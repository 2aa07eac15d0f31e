"""The rows of the comparison with Apache RocketMQ: what is done, under which settings, and what is aimed at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks import fill, java, own, starts
from benchmarks.figures import Aim, Figures
from benchmarks.pace import Pace
from benchmarks.row import Row, Session
from benchmarks.sides import ASYNC, BINARY_ANSWERS, SYNC, Side, apache_rocketmq, bundled

SYNC_FLUSH = Session("SYNC_FLUSH", {"bundled": bundled(SYNC), "apache": apache_rocketmq(SYNC)})
ASYNC_FLUSH = Session("ASYNC_FLUSH", {"bundled": bundled(ASYNC), "apache": apache_rocketmq(ASYNC)})
BINARY = Session(
    "ASYNC_FLUSH, binary answers", {"bundled": bundled(ASYNC), "apache": apache_rocketmq(ASYNC, BINARY_ANSWERS)}
)
STARTING = Session(
    "starting",
    {"bundled": starts.starter("bundled", bundled(SYNC)), "apache": starts.starter("apache", apache_rocketmq(SYNC))},
)

BACKLOG = 2_500_000
RECOVERED_LOG_BYTES = 1 << 30


def with_class(benchmark: java.Benchmark, topic: str = "bench") -> Callable[[Side, Pace], Figures]:
    return lambda side, pace: java.play(benchmark, side, topic, pace.java_s)


def with_own(load: str, *arguments: str) -> Callable[[Side, Pace], Figures]:
    return lambda side, pace: own.play(side, load, (*arguments, "--seconds", str(pace.own_s)), pace.own_s)


def consuming(batch: int, messages: int) -> Callable[[Side, Pace], Figures]:
    return lambda side, pace: own.play(side, "consume", ("-b", str(batch), "-q", str(pace.count(messages))), pace.own_s)


def backlog(side: Side, pace: Pace) -> None:
    """As many messages as the official consumer cannot eat in one round."""
    fill.run(fill.backlog(side.namesrv, "backlog", BACKLOG))


def times(limit: float, figure: str = "per_second") -> Aim:
    return Aim(figure, limit, times=True)


COMPARISON = (
    Row("send-64-async", "64 senders, ASYNC_FLUSH", ASYNC_FLUSH, with_class(java.producer(64)),
        aims=(times(3.5), Aim("broker_us", 8))),
    Row("send-8-async", "8 senders, ASYNC_FLUSH", ASYNC_FLUSH, with_class(java.producer(8)), aims=(times(2.5),)),
    Row("send-1-async", "1 sender, ASYNC_FLUSH", ASYNC_FLUSH, with_class(java.producer(1)), aims=(times(1.3),)),
    Row("batch-async", "batches of 32, 8 senders, ASYNC_FLUSH", ASYNC_FLUSH, with_class(java.batch_producer(8, 32)),
        aims=(times(1.3),)),
    Row("transaction-async", "transactions, 32 senders, ASYNC_FLUSH", ASYNC_FLUSH,
        with_class(java.transaction_producer(32)), aims=(times(3.0),)),
    Row("consume", "push consumer, 20 threads, over a backlog", ASYNC_FLUSH, with_class(java.consumer(20), "backlog"),
        aims=(times(1.3),), prepare=backlog),
    Row("send-64-sync", "64 senders, SYNC_FLUSH", SYNC_FLUSH, with_class(java.producer(64)),
        aims=(times(4.5), Aim("broker_us", 11))),
    Row("send-8-sync", "8 senders, SYNC_FLUSH", SYNC_FLUSH, with_class(java.producer(8)), aims=(times(3.5),)),
    Row("send-1-sync", "1 sender, SYNC_FLUSH", SYNC_FLUSH, with_class(java.producer(1)), aims=(times(4.0),)),
    Row("batch-sync", "batches of 32, 8 senders, SYNC_FLUSH", SYNC_FLUSH, with_class(java.batch_producer(8, 32)),
        aims=(times(1.5),)),
    Row("transaction-sync", "transactions, 32 senders, SYNC_FLUSH", SYNC_FLUSH,
        with_class(java.transaction_producer(32)), aims=(times(3.0),)),
    Row("latency-2000", "produce to consume at 2,000/s, SYNC_FLUSH", SYNC_FLUSH, with_own("latency", "-r", "2000"),
        "p99_ms"),
    Row("latency-5000", "produce to consume at 5,000/s, SYNC_FLUSH", SYNC_FLUSH, with_own("latency", "-r", "5000"),
        "p99_ms", aims=(Aim("p50_ms", 1.5), Aim("p99_ms", 6), times(5.0, "p99_ms"))),
    Row("python-send-64", "Python client: 64 coroutines, SYNC_FLUSH", SYNC_FLUSH, with_own("produce", "-w", "64"),
        aims=(Aim("per_second", 50_000), Aim("p99_ms", 5))),
    Row("python-threads-4", "Python client, sync face: 4 threads, SYNC_FLUSH", SYNC_FLUSH,
        with_own("threads", "-w", "4"), aims=(Aim("per_second", 12_000),)),
    Row("python-threads-16", "Python client, sync face: 16 threads, SYNC_FLUSH", SYNC_FLUSH,
        with_own("threads", "-w", "16"), aims=(Aim("per_second", 20_000),)),
    Row("python-transaction-32", "Python client: 32 transactions at once, SYNC_FLUSH", SYNC_FLUSH,
        with_own("transaction", "-w", "32")),
    Row("python-consume-1", "Python push consumer, one message a call", SYNC_FLUSH, consuming(1, 200_000),
        aims=(Aim("per_second", 40_000),)),
    Row("python-consume-32", "Python push consumer, 32 messages a call", SYNC_FLUSH, consuming(32, 300_000),
        aims=(Aim("per_second", 150_000),)),
    Row("send-64-binary", "64 senders, ASYNC_FLUSH, Apache told to answer in binary", BINARY,
        with_class(java.producer(64)), aims=(times(3.0),)),
    Row("start", "start to first acknowledged send", STARTING, starts.first_send, "start_s",
        aims=(Aim("start_s", 0.5), Aim("private_mb", 40))),
    Row("recovery", "first send after kill -9 with 1 GiB of log", STARTING,
        partial(starts.after_a_kill, log_bytes=RECOVERED_LOG_BYTES), "start_s", aims=(Aim("start_s", 3.0),),
        limit_s=240.0),
)  # fmt: skip
