"""A disk that fills up under a running broker: sends are refused with a reason, reading goes on, space ends it."""

from __future__ import annotations

import asyncio
import errno
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from mq.client import Producer, PullConsumer
from mq.errors import ResponseError
from mq.message import Message
from mq.remoting.codes import ResponseCode
from mq.store.disk import Disk
from mq.testing import standalone

LOG_FILE_BYTES: Final = 1 << 20
RESUME_S: Final = 5.0


class Quota:
    """How many bytes the disk still has room for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room_bytes: int) -> None:
        self.room_bytes = room_bytes
        reserve = Disk.reserve

        def reserve_within(disk: Disk, descriptor: int, size: int) -> None:
            if size > self.room_bytes:
                raise OSError(errno.ENOSPC, "No space left on device")
            reserve(disk, descriptor, size)
            self.room_bytes -= size

        monkeypatch.setattr(Disk, "reserve", reserve_within)


async def send_until_refused(producer: Producer, sent: list[bytes]) -> ResponseError:
    chance = random.Random(1)
    for number in range(200):
        body = b"%d:" % number + chance.randbytes(100_000)  # nothing the client could compress
        try:
            await producer.send(Message("T", body))
        except ResponseError as error:
            return error
        sent.append(body)
    raise AssertionError("the disk never filled up")


async def send_when_possible(producer: Producer, body: bytes) -> None:
    while True:
        try:
            await producer.send(Message("T", body))
        except ResponseError:
            await asyncio.sleep(0.02)
        else:
            return


async def read_all(consumer: PullConsumer) -> set[bytes]:
    bodies: set[bytes] = set()
    for queue in await consumer.queues("T"):
        queue_offset = 0
        while messages := (result := await consumer.pull(queue, queue_offset)).messages:
            bodies |= {message.body for message in messages}
            queue_offset = result.next_offset
    return bodies


@pytest.mark.promise
async def test_a_full_disk_refuses_sends_loses_nothing_and_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    quota = Quota(monkeypatch, 6 * LOG_FILE_BYTES)
    async with (
        standalone(tmp_path, commit_log_file_bytes=LOG_FILE_BYTES) as mq,
        Producer("tests", namesrv=mq.namesrv, retries=0) as producer,
        PullConsumer("readers", namesrv=mq.namesrv) as consumer,
    ):
        sent: list[bytes] = []
        refusal = await send_until_refused(producer, sent)
        assert refusal.code == ResponseCode.SERVICE_NOT_AVAILABLE
        assert "free space on the partition" in str(refusal)
        assert await read_all(consumer) == set(sent)

        quota.room_bytes += 100 * LOG_FILE_BYTES
        began = time.monotonic()
        async with asyncio.timeout(RESUME_S):
            await send_when_possible(producer, b"space again")
        took_s = time.monotonic() - began

        assert await read_all(consumer) == {*sent, b"space again"}
    figure(
        f"B15: {len(sent)} acknowledged before a disk was full, 0 lost; sends went on {took_s:.2f} s after it had room"
    )
