"""`bench`: put a load on a broker and print what it took."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from mq import event_loop
from mq.errors import MQError

LOADS: Final = ("produce", "consume", "latency", "transaction", "threads")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("load", choices=LOADS, help="threads: produce through the synchronous face")
    parser.add_argument(
        "-n", "--namesrv", metavar="NAMESRV", help="host:port;host:port (MQ_NAMESRV_ADDR, 127.0.0.1:9876)"
    )
    parser.add_argument("-t", "--topic", default="MqBench", help="created when missing, with 8 queues")
    parser.add_argument("-w", "--workers", type=_positive, default=64, help="sends that are under way at once")
    parser.add_argument("-s", "--size", type=_positive, default=500, metavar="BYTES", help="of a body")
    parser.add_argument("-q", "--messages", type=_positive, default=100_000, metavar="COUNT")
    parser.add_argument(
        "-d", "--seconds", type=_positive_seconds, help="send for so long, in place of -q (not consume)"
    )
    parser.add_argument("-b", "--batch", type=_positive, default=1, help="messages per request, or per handler call")
    parser.add_argument("-r", "--rate", type=_positive, default=2000, help="messages per second (latency)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0, 1 when anything failed under load, 3 when it could not begin."""
    from mq.bench import loads
    from mq.bench.threads import threads

    options = loads.Options(
        args.namesrv, args.topic, args.workers, args.size, args.messages, args.batch, args.rate, args.seconds
    )
    try:
        report = event_loop.run(threads(options) if args.load == "threads" else getattr(loads, args.load)(options))
    except (MQError, ValueError) as error:
        print(f"mq bench: {error}", file=sys.stderr)
        return 3
    print(report.to_json() if args.json else report.to_text())
    return 1 if report.failures else 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _positive_seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value
