"""A consumer as a process of its own, for tests that kill it.

`python -m mq.client.tests.consumer_process DESCRIPTOR NAMESRV GROUP TOPIC [orderly]` writes a line `key body` to the
pipe DESCRIPTOR for every message handled, and `ready PID` once it has queues of the topic; SIGTERM stops it cleanly.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys

from mq import event_loop
from mq.client import ConsumeFromWhere, PushConsumer
from mq.client.tests.conftest import FAST, QueueWatch
from mq.message import ReceivedMessage


async def main(descriptor: str, namesrv: str, group: str, topic: str, *flags: str) -> None:
    pipe = int(descriptor)

    def handle(messages: list[ReceivedMessage]) -> None:
        for message in messages:
            hashlib.pbkdf2_hmac("sha256", message.body, b"", 3000)  # A millisecond or so in which to be killed.
            # A small write to a pipe is atomic: the lines of all processes are whole, and in order.
            os.write(pipe, f"{message.sharding_key} {message.body.decode()}\n".encode())

    watch = QueueWatch(topic)
    consumer = PushConsumer(
        group,
        namesrv=namesrv,
        handler=handle,
        settings=FAST,
        orderly="orderly" in flags,
        from_where=ConsumeFromWhere.FIRST_OFFSET,
        on_queues_changed=watch,
    )
    consumer.subscribe(topic)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with consumer:
        await watch.wait_for_any()
        os.write(pipe, f"ready {os.getpid()}\n".encode())
        await stopped.wait()


if __name__ == "__main__":
    event_loop.run(main(*sys.argv[1:]))
