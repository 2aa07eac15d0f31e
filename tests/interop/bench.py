"""`make bench-quick`: Apache RocketMQ 5.3.3 and the bundled broker in turn, under Apache's own producer benchmark.

Everything runs on the same machine, one broker at a time, each round with a fresh store: 64 senders, 500-byte bodies,
8 queues, both brokers with SYNC_FLUSH. The first round of each is a warm-up and not counted, nor are the first ten
seconds of a round, in which the JVMs compile. Absolute figures belong to the machine; the ratio is what to quote.
Exit status 1 when the bundled broker is not at least twice as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tests.interop import apache
from tests.interop.bundled import bundled_broker

SECONDS = 32
#: Report lines come every five seconds; the first ones show the compiler at work.
WARM_UP_LINES = 2
TPS = re.compile(
    r"TPS: (\d+) .*Max RT\(ms\):\s+(\d+) .*Average RT\(ms\):\s+([\d.]+) .*Send Failed: (\d+) .*Response Failed: (\d+)"
)
AT_LEAST = 2.0

BROKERS: dict[str, Callable[..., AbstractContextManager[apache.Cluster]]] = {
    "apache": apache.apache_rocketmq,
    "bundled": bundled_broker,
}


@dataclass(frozen=True)
class Round:
    """Units: rates in messages per second, times in milliseconds, CPU in microseconds of the broker per message."""

    kind: str
    messages_per_second: float
    average_ms: float
    failed: int
    broker_cpu_us: float
    broker_rss_mb: float


def run_round(kind: str, senders: int, body_bytes: int) -> Round:
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as name:
        folder = Path(name)
        with BROKERS[kind](folder, {"flushDiskType": "SYNC_FLUSH", "mappedFileSizeCommitLog": str(1 << 30)}) as cluster:
            create_topic(cluster.namesrv, folder)
            broker = broker_process(kind)
            before = broker.cpu_times()
            lines = produce(cluster.namesrv, senders, body_bytes, folder)
            after = broker.cpu_times()
            rss_mb = broker.memory_info().rss / 2**20
    sent = statistics.mean(float(line[0]) for line in lines) * SECONDS
    lines = lines[WARM_UP_LINES:]
    cpu_seconds = after.user + after.system - before.user - before.system
    return Round(
        kind,
        statistics.mean(float(line[0]) for line in lines),
        statistics.mean(float(line[2]) for line in lines),
        sum(int(lines[-1][at]) for at in (3, 4)),
        cpu_seconds / sent * 1e6,
        rss_mb,
    )


def create_topic(namesrv: str, folder: Path) -> None:
    admin = "org.apache.rocketmq.tools.command.MQAdminStartup"
    arguments = ("updateTopic", "-n", namesrv, "-c", "DefaultCluster", "-t", "bench", "-r", "8", "-w", "8")
    run = apache.java(admin, *arguments, timeout_s=60, jvm=("-Xmx256m", f"-Duser.home={folder}"))
    if "success" not in run.stdout:
        raise RuntimeError(f"no topic: {run.stdout[-2000:]} {run.stderr[-2000:]}")


def broker_process(kind: str) -> psutil.Process:
    """The broker among our children: what is measured is its CPU time, not the client's."""
    marker = "BrokerStartup" if kind == "apache" else "standalone"
    for child in psutil.Process().children(recursive=True):
        if any(marker in word for word in child.cmdline()):
            return child
    raise RuntimeError(f"no {kind} broker is running")


def produce(namesrv: str, senders: int, body_bytes: int, folder: Path) -> list[tuple[str, ...]]:
    """Run the official benchmark for `SECONDS` and return its report lines: TPS, max and average ms, failures."""
    main = "org.apache.rocketmq.example.benchmark.Producer"
    # `timeout` ends it also when this program is killed: the benchmark by itself never stops.
    command = ["timeout", str(SECONDS), "java", "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"]
    command += [f"-Duser.home={folder}", "-cp", apache.CLASSPATH, main]
    command += ["-n", namesrv, "-t", "bench", "-w", str(senders), "-s", str(body_bytes), "-ri", "5000"]
    with (folder / "producer.out").open("w+") as out:
        subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False)
        out.seek(0)
        text = out.read()
    lines = TPS.findall(text)
    if len(lines) <= WARM_UP_LINES:
        raise RuntimeError(f"the benchmark reported too little: {text[-3000:]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--senders", type=int, default=64)
    parser.add_argument("--body-bytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of each broker, after one warm-up")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    apache.build()
    rounds: dict[str, list[Round]] = {kind: [] for kind in BROKERS}
    for number in range(options.rounds + 1):
        for kind, results in rounds.items():
            result = run_round(kind, options.senders, options.body_bytes)
            note = "warm-up" if number == 0 else f"round {number}"
            print(
                f"{note:8} {kind:8} {result.messages_per_second:9,.0f}/s  {result.average_ms:6.2f} ms",
                end="",
                file=sys.stderr,
            )
            print(f"  broker {result.broker_cpu_us:5.1f} us/message, {result.broker_rss_mb:.0f} MB", file=sys.stderr)
            if number:
                results.append(result)
    medians = {kind: statistics.median(one.messages_per_second for one in results) for kind, results in rounds.items()}
    ratio = medians["bundled"] / medians["apache"]
    report = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
        },
        "senders": options.senders,
        "body_bytes": options.body_bytes,
        "flush": "SYNC_FLUSH",
        "rounds": [asdict(one) for results in rounds.values() for one in results],
        "median_per_second": medians,
        "ratio": ratio,
    }
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        print(f"bundled / apache = {ratio:.2f} (medians {medians['bundled']:,.0f}/s and {medians['apache']:,.0f}/s)")
    return 0 if ratio >= AT_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
