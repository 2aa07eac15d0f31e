"""`python -m benchmarks.crowd NAMESRV CONNECTIONS SECONDS`: many producers, of which 64 send at any moment.

Every producer has connections and heartbeats of its own. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time

from benchmarks import questions
from mq import event_loop
from mq.bench.measure import Durations
from mq.client import Producer
from mq.message import Message

AT_ONCE = 64
TOPIC = "crowd"
BODY_BYTES = 500


async def crowd(namesrv: str, connections: int, seconds: float) -> dict[str, float]:
    producers = [Producer(f"crowd-{number}", namesrv=namesrv) for number in range(connections)]
    message, durations, messages, until_s = Message(TOPIC, os.urandom(BODY_BYTES)), Durations(), 0, 0.0

    async def work(which: list[Producer]) -> None:
        nonlocal messages
        while time.perf_counter() < until_s:
            for producer in which:
                began_s = time.perf_counter()
                await producer.send(message)
                durations.add(time.perf_counter() - began_s)
                messages += 1

    try:
        for producer in producers:
            await producer.start()
            await producer.send(message)
        until_s = time.perf_counter() + seconds
        used_s = time.process_time()
        await asyncio.gather(*(work(producers[worker::AT_ONCE]) for worker in range(min(AT_ONCE, connections))))
        busy_percent = 100 * (time.process_time() - used_s) / seconds
    finally:
        await asyncio.gather(*(producer.stop() for producer in producers))
    summary = {f"{name}_ms": value for name, value in durations.summary_ms().items()}
    return {"messages": messages, "per_second": messages / seconds, "client_percent": busy_percent, **summary}


def main() -> None:
    namesrv, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # two for each producer, and the usual limit is 1,024
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * connections + 256)), hard))
    questions.create_topic(namesrv, TOPIC)
    print(json.dumps(event_loop.run(crowd(namesrv, connections, seconds))))


if __name__ == "__main__":
    main()
