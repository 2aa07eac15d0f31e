"""A process that is killed with SIGKILL at a named point, for the tests of what its successors then do.

    python -m messaging.tests.doomed consumer {handler,commit,send} NAMESRV INSTANCE_NAME
    python -m messaging.tests.doomed request {half,work,commit} NAMESRV

A consumer dies while its handler runs, after the commit, or after the answers were sent but not acknowledged; a request
dies after its half message, at the end of its work, or after its commit, before the broker was told.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any, NoReturn

import django

django.setup()

from messaging import outgoing, transactions  # noqa: E402  # Django comes first
from messaging.redrive import Answers  # noqa: E402
from messaging.tests import clockmaker  # noqa: E402
from messaging.tests.clockmaker import SERVICE, ClockOrdered  # noqa: E402
from messaging.worker import Worker  # noqa: E402
from mq.client import Client, SendResult, TransactionState  # noqa: E402
from mq.client.sync import SyncTransactionProducer  # noqa: E402
from mq.message import Message  # noqa: E402


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL came back")


async def consume(point: str, namesrv: str, instance_name: str) -> None:
    def wind(event: Any) -> list[Any]:
        answer = clockmaker.wind(event)
        return die() if point == "handler" else answer

    class DoomedAnswers(Answers):
        async def send(self, answers: list[outgoing.Answer]) -> BaseException | None:
            if point == "send":
                await outgoing.send_all(answers, self._producer.send)
            die()

    worker = Worker(
        SERVICE,
        registry=clockmaker.registry_with(wind),
        client=Client(namesrv, instance_name=instance_name),
        answers=DoomedAnswers,
    )
    await worker.start()
    await asyncio.Event().wait()


class DoomedSender:
    def __init__(self, point: str, namesrv: str) -> None:
        self._point = point
        self._producer = SyncTransactionProducer(
            transactions.producer_group(SERVICE), check=lambda half: TransactionState.UNKNOWN, namesrv=namesrv
        )

    def send_half(self, message: Message) -> SendResult:
        half = self._producer.send_half(message)
        return die() if self._point == "half" else half

    def end(self, half: SendResult, state: TransactionState) -> None:
        die()


def request(point: str, namesrv: str) -> None:
    def work() -> None:
        clockmaker.record_effect("requested")
        if point == "work":
            die()

    event = ClockOrdered(order_no="A1")
    transactions.send_in_transaction(event, work, using=SERVICE, sender=DoomedSender(point, namesrv))


if __name__ == "__main__":
    if sys.argv[1] == "consumer":
        asyncio.run(consume(*sys.argv[2:]))
    else:
        request(*sys.argv[2:])
