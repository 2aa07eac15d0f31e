"""What waits in a store goes with it: timers, delay levels and open transactions, from our broker to RocketMQ and back.

Each message must come out once and not early, whichever broker it was sent to; and only the producer of the transaction
that is open is asked about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.clock import OffsetFileClock, move_offset_file
from mq.message import ReceivedMessage, ids, properties, record
from mq.remoting.bodies import ConsumerData, HeartbeatData, ProducerData, SubscriptionData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import (
    CheckTransactionStateRequestHeader,
    ConsumerSendMsgBackRequestHeader,
    EndTransactionRequestHeader,
    PullMessageRequestHeader,
    PullSysFlag,
    QueryConsumerOffsetRequestHeader,
    SendMessageRequestHeaderV2,
    UpdateConsumerOffsetRequestHeader,
)
from mq.store.check import check_store
from mq.store.config import StoreConfig
from mq.store.export import export_store
from tests.interop import apache

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

TOPIC, GROUP, WATCHER = "order-timers", "checkout", "watcher"
COMMIT = 8
#: Both brokers keep files of the same size, the one they have without being told.
AS_SHIPPED = {"mappedFileSizeCommitLog": str(1 << 30)}
#: Long enough for a broker to stop and a JVM to start.
LATER_S = 25


class Client:
    """A producer of group `checkout` that keeps what it is asked, and a puller."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.checks: asyncio.Queue[RemotingCommand] = asyncio.Queue()
        self._client = RemotingClient({RequestCode.CHECK_TRANSACTION_STATE: self._asked})

    def _asked(self, _: object, command: RemotingCommand) -> None:
        self.checks.put_nowait(command)

    async def close(self) -> None:
        await self._client.close()

    async def heartbeat(self) -> None:
        consumer = ConsumerData(group_name=WATCHER, subscription_data_set=[SubscriptionData(topic=TOPIC)])
        body = HeartbeatData(
            client_id="handover", producer_data_set=[ProducerData(GROUP)], consumer_data_set=[consumer]
        )
        await self._invoke(RemotingCommand.request(RequestCode.HEART_BEAT, body=body.to_json()))

    async def send(self, body: str, *, is_half: bool = False, **asked: str) -> RemotingCommand:
        header = SendMessageRequestHeaderV2(
            producer_group=GROUP,
            topic=TOPIC,
            default_topic="TBW102",
            default_topic_queue_nums=1,
            queue_id=0,
            sys_flag=4 if is_half else 0,
            born_timestamp=int(time.time() * 1000),
            flag=0,
            properties=properties.encode({"UNIQ_KEY": body.replace(" ", ""), **asked}).decode(),
        )
        return await self._invoke(RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, body.encode()))

    async def send_half(self, body: str) -> RemotingCommand:
        return await self.send(body, is_half=True, TRAN_MSG="true", PGROUP=GROUP)

    async def commit(self, half: RemotingCommand) -> None:
        header = EndTransactionRequestHeader(
            topic=TOPIC,
            producer_group=GROUP,
            tran_state_table_offset=int(half.ext_fields["queueOffset"]),
            commit_log_offset=ids.parse_offset_message_id(half.ext_fields["msgId"]).commit_log_offset,
            commit_or_rollback=COMMIT,
            from_transaction_check=False,
            msg_id=half.ext_fields["transactionId"],
        )
        await self._invoke(RemotingCommand.request(RequestCode.END_TRANSACTION, header))

    async def commit_offset(self, queue_offset: int) -> None:
        header = UpdateConsumerOffsetRequestHeader(
            consumer_group=WATCHER, topic=TOPIC, queue_id=0, commit_offset=queue_offset
        )
        await self._invoke(RemotingCommand.request(RequestCode.UPDATE_CONSUMER_OFFSET, header))

    async def committed_offset(self) -> int:
        header = QueryConsumerOffsetRequestHeader(consumer_group=WATCHER, topic=TOPIC, queue_id=0)
        response = await self._invoke(RemotingCommand.request(RequestCode.QUERY_CONSUMER_OFFSET, header))
        return int(response.ext_fields["offset"])

    async def give_up(self, queue_offset: int) -> None:
        """Send a message back that may not be tried again: it becomes a dead letter."""
        (message,) = [found for found in await self._pull(0, 1000) if found.queue_offset == queue_offset]
        header = ConsumerSendMsgBackRequestHeader(
            offset=message.commit_log_offset, group=WATCHER, delay_level=-1, origin_topic=TOPIC, max_reconsume_times=0
        )
        response = await self._invoke(RemotingCommand.request(RequestCode.CONSUMER_SEND_MSG_BACK, header))
        assert response.code == 0, response.remark

    async def dead_letters(self) -> list[bytes]:
        return [message.body for message in await self._pull(0, 1000, topic=f"%DLQ%{WATCHER}")]

    async def stored(self, count: int, within_s: float) -> dict[str, int]:
        """Bodies and store times of the topic's messages; waits for `count`, then a little for more than that."""
        found: list[ReceivedMessage] = []
        deadline_s = time.monotonic() + within_s
        while len(found) < count and time.monotonic() < deadline_s:
            found += await self._pull(len(found), 1000)
        found += await self._pull(len(found), 3000)
        assert len({message.body for message in found}) == len(found), "delivered twice"
        return {message.body.decode(): message.store_timestamp_ms for message in found}

    async def _pull(self, queue_offset: int, wait_ms: int, topic: str = TOPIC) -> list[ReceivedMessage]:
        header = PullMessageRequestHeader(
            consumer_group=WATCHER,
            topic=topic,
            queue_id=0,
            queue_offset=queue_offset,
            max_msg_nums=32,
            sys_flag=PullSysFlag.SUBSCRIPTION | PullSysFlag.SUSPEND,
            commit_offset=0,
            suspend_timeout_millis=wait_ms,
            subscription="*",
            sub_version=1,
        )
        response = await self._invoke(RemotingCommand.request(RequestCode.PULL_MESSAGE, header))
        return list(record.iterate(response.body)) if response.code == 0 else []

    async def _invoke(self, command: RemotingCommand) -> RemotingCommand:
        return await self._client.invoke(self.address, command, 20.0)


@asynccontextmanager
async def our_broker(store: Path, clock: OffsetFileClock) -> AsyncIterator[Client]:
    port = apache.free_ports()
    config = BrokerConfig(
        store_root=store, broker_name="broker-a", listen_port=port, transaction_check_interval_ms=1000
    )
    broker = Broker(config, clock)
    await broker.start()
    client = Client(broker.address)
    yield client
    await client.close()
    await broker.stop()


DELIVERED = {"level, delivered", "ordinary", "timer, delivered", "transaction, committed"}


async def send_everything(client: Client) -> dict[str, int]:
    """Leave one message of each kind delivered and one waiting; returns when the waiting ones are due, ms."""
    now_ms = int(time.time() * 1000)
    due = {"timer, waiting": now_ms + LATER_S * 1000, "level, waiting": now_ms + 30_000}
    await client.send("timer, delivered", TIMER_DELIVER_MS=str(now_ms + 2000))
    await client.send("timer, waiting", TIMER_DELIVER_MS=str(due["timer, waiting"]))
    await client.send("level, delivered", DELAY="1")
    await client.send("level, waiting", DELAY="4")
    await client.commit(await client.send_half("transaction, committed"))
    await client.send_half("transaction, open")
    await client.send("ordinary")
    assert (await client.stored(4, within_s=15)).keys() == DELIVERED
    await client.heartbeat()
    await client.commit_offset(3)
    await client.give_up(2)
    return due


async def expect_the_rest(client: Client, due: dict[str, int], within_s: float) -> None:
    assert await client.committed_offset() == 3
    assert len(await client.dead_letters()) == 1
    stored = await client.stored(6, within_s)

    assert stored.keys() == DELIVERED | due.keys()
    assert all(stored[body] >= due_ms for body, due_ms in due.items())


def expect_a_sound(store: Path) -> None:
    """`mq store check` has nothing to say about the store."""
    report = check_store(StoreConfig(store))

    assert report.damage_count == 0, report.to_dict()


async def expect_a_check_of_the_open_one_alone(client: Client) -> None:
    await client.heartbeat()
    async with asyncio.timeout(60):
        checks = [await client.checks.get(), await client.checks.get()]
    for check in checks:
        assert check.header(CheckTransactionStateRequestHeader).transaction_id == "transaction,open"


class TestFromOursToRocketMQ:
    async def test_nothing_that_waits_is_lost_early_or_doubled(self, tmp_path):
        store = tmp_path / "store"
        async with our_broker(store, OffsetFileClock(tmp_path / "offset")) as client:
            due = await send_everything(client)
        expect_a_sound(store)
        exported = tmp_path / "exported"
        assert export_store(StoreConfig(store), exported).is_clean

        with apache.apache_rocketmq(
            tmp_path, AS_SHIPPED | {"transactionCheckInterval": "1000"}, store=exported
        ) as cluster:
            client = Client(cluster.broker)
            await expect_a_check_of_the_open_one_alone(client)
            await expect_the_rest(client, due, within_s=60)
            await client.close()
        expect_a_sound(exported)


class TestFromRocketMQToOurs:
    async def test_nothing_that_waits_is_lost_early_or_doubled(self, tmp_path):
        with apache.apache_rocketmq(tmp_path, AS_SHIPPED | {"transactionCheckInterval": "60000"}) as cluster:
            client = Client(cluster.broker)
            due = await send_everything(client)
            await client.close()
        expect_a_sound(tmp_path / "store")

        async with our_broker(tmp_path / "store", OffsetFileClock(tmp_path / "offset")) as client:
            await expect_a_check_of_the_open_one_alone(client)
            move_offset_file(tmp_path / "offset", LATER_S * 1000)
            await expect_the_rest(client, due, within_s=15)
        expect_a_sound(tmp_path / "store")
