"""Half messages and their ends: what is stored, what must agree, what is refused."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mq.broker import transaction
from mq.broker.half_messages import HALF_TOPIC
from mq.broker.op_messages import OP_TOPIC
from mq.broker.tests.quiet import PRODUCER, START_MS
from mq.broker.tests.wire import Wire, bodies, messages, start_broker
from mq.clock import ManualClock
from mq.errors import InvalidMessage, MessageTooLarge
from mq.message import ids, properties, sys_flag
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import CheckTransactionStateRequestHeader, EndTransactionRequestHeader, PullSysFlag

COMMIT, ROLLBACK, UNKNOWN = 8, 12, 0
HALF = {"TRAN_MSG": "true", "PGROUP": "checkout", "UNIQ_KEY": "A1", "TAGS": "OrderPlaced", "KEYS": "20240607"}


class TransactionWire(Wire):
    """A producer of transactions; it sees what lies in the broker's store."""

    clock: ManualClock

    async def send_half(self, body: bytes = b"order", queue_id: int = 2, **more: str) -> RemotingCommand:
        text = properties.encode(HALF | more).decode()
        return await self.send("order-events", body, queue_id=queue_id, sys_flag=4, properties_text=text)

    async def end(self, half: RemotingCommand, outcome: int, **changes: Any) -> RemotingCommand:
        settings: dict[str, Any] = {
            "topic": "order-events",
            "producer_group": "checkout",
            "tran_state_table_offset": int(half.ext_fields["queueOffset"]),
            "commit_log_offset": ids.parse_offset_message_id(half.ext_fields["msgId"]).commit_log_offset,
            "commit_or_rollback": outcome,
            "from_transaction_check": False,
            "msg_id": "A1",
            "transaction_id": "A1",
        }
        header = EndTransactionRequestHeader(**(settings | changes))
        return await self.call(RequestCode.END_TRANSACTION, header)

    def visible(self, queue_id: int = 2) -> int:
        return self.broker.store.max_offset("order-events", queue_id)


@pytest.fixture
async def wire(tmp_path) -> AsyncIterator[TransactionWire]:
    clock = ManualClock(START_MS)
    broker = await start_broker(tmp_path, clock)
    wire = TransactionWire(broker)
    wire.clock = clock
    yield wire
    await wire.close()
    await broker.stop()


class TestToHalf:
    def half(self, **asked: str) -> RecordFields:
        flags = sys_flag.TRANSACTION_PREPARED | sys_flag.COMPRESSED
        fields = RecordFields("order-events", 2, b"order", b"", flags, 5, START_MS, PRODUCER)
        return transaction.to_half(fields, HALF | asked)

    def test_hides_the_message_in_the_half_topic(self):
        half = self.half()

        assert (half.topic, half.queue_id) == ("RMQ_SYS_TRANS_HALF_TOPIC", 0)
        assert properties.decode(half.properties_text) == {
            **HALF,
            "REAL_TOPIC": "order-events",
            "REAL_QID": "2",
            "__transactionId__": "A1",
        }

    def test_clears_the_transaction_bits_alone(self):
        assert self.half().sys_flag == sys_flag.COMPRESSED

    @pytest.mark.parametrize("asked", ["DELAY", "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"])
    def test_refuses_a_message_to_be_delayed_as_well(self, asked):
        with pytest.raises(InvalidMessage, match="cannot be delayed as well"):
            self.half(**{asked: "5"})

    def test_does_not_let_a_producer_count_the_checks(self):
        half = self.half(TRANSACTION_CHECK_TIMES="15", TRAN_PREPARED_QUEUE_OFFSET="0")

        assert (
            not {"TRANSACTION_CHECK_TIMES", "TRAN_PREPARED_QUEUE_OFFSET"}
            & properties.decode(half.properties_text).keys()
        )

    def test_keeps_room_for_what_checks_add(self):
        with pytest.raises(MessageTooLarge, match="properties of a half message"):
            self.half(NOTE="x" * 32_600)


class TestIsHalf:
    @pytest.mark.parametrize(
        ("asked", "reconsume_times", "expected"),
        [
            ({"TRAN_MSG": "true"}, 0, True),
            ({"TRAN_MSG": "TRUE"}, 0, True),
            ({"TRAN_MSG": "false"}, 0, False),
            ({}, 0, False),
            ({"TRAN_MSG": "true", "DELAY": "3"}, 1, False),
            ({"TRAN_MSG": "true"}, 1, True),
        ],
    )
    def test_is_decided_by_the_property_but_never_for_a_retry(self, asked, reconsume_times, expected):
        assert transaction.is_half(asked, reconsume_times) is expected


class TestHalfMessage:
    async def test_is_not_visible(self, wire: TransactionWire):
        await wire.send_half()

        assert wire.visible() == 0
        assert wire.broker.store.max_offset(HALF_TOPIC, 0) == 1

    async def test_is_answered_with_what_its_end_needs(self, wire: TransactionWire):
        await wire.send_half()
        second = await wire.send_half()

        place = ids.parse_offset_message_id(second.ext_fields["msgId"])
        record = wire.broker.store.record_at(place.commit_log_offset)
        assert record is not None
        assert second.ext_fields["queueOffset"] == "1"
        assert second.ext_fields["queueId"] == "2"
        assert second.ext_fields["transactionId"] == "A1"

    async def test_that_is_to_be_delayed_is_refused(self, wire: TransactionWire):
        response = await wire.send_half(DELAY="3")

        assert response.code == ResponseCode.MESSAGE_ILLEGAL
        assert "delayed as well" in (response.remark or "")


class TestCommit:
    async def test_makes_the_message_visible_where_it_belongs(self, wire: TransactionWire):
        half = await wire.send_half(b"order 1")

        await wire.end(half, COMMIT)

        assert bodies(await wire.pull("order-events", queue_id=2)) == [b"order 1"]

    async def test_keeps_everything_the_producer_said(self, wire: TransactionWire):
        half = await wire.send_half()
        await wire.end(half, COMMIT)

        (message,) = messages(await wire.pull("order-events", queue_id=2))

        half_offset = ids.parse_offset_message_id(half.ext_fields["msgId"]).commit_log_offset
        assert (message.tag, message.keys, message.born_timestamp_ms) == ("OrderPlaced", ("20240607",), START_MS)
        assert message.sys_flag & sys_flag.TRANSACTION_MASK == sys_flag.TRANSACTION_COMMIT
        assert message.prepared_transaction_offset == half_offset
        assert (
            message.properties.items()
            >= {
                "TRAN_MSG": "true",
                "PGROUP": "checkout",
                "REAL_TOPIC": "order-events",
                "REAL_QID": "2",
                "__transactionId__": "A1",
            }.items()
        )

    async def test_wakes_a_waiting_consumer(self, wire: TransactionWire):
        half = await wire.send_half(b"order 1")
        waiting = asyncio.create_task(wire.pull("order-events", queue_id=2, sys_flag=PullSysFlag.SUSPEND))
        await wire.consumer_ids("nobody")  # answered after the pull was taken

        assert not waiting.done()
        await wire.end(half, COMMIT)

        assert bodies(await waiting) == [b"order 1"]

    async def test_twice_delivers_once(self, wire: TransactionWire):
        half = await wire.send_half()

        first = await wire.end(half, COMMIT)
        second = await wire.end(half, COMMIT)

        assert (first.code, second.code) == (0, ResponseCode.ILLEGAL_OPERATION)
        assert wire.visible() == 1

    async def test_after_a_rollback_delivers_nothing(self, wire: TransactionWire):
        half = await wire.send_half()

        await wire.end(half, ROLLBACK)
        await wire.end(half, COMMIT)

        assert wire.visible() == 0

    async def test_may_come_over_another_connection(self, wire: TransactionWire):
        """Old Java clients send the half message to one port and its end to the other."""
        half = await wire.send_half()
        other = TransactionWire(wire.broker)

        await other.end(half, COMMIT)

        assert wire.visible() == 1
        await other.close()

    async def test_sent_one_way_is_not_answered(self, wire: TransactionWire):
        half = await wire.send_half()
        header = EndTransactionRequestHeader(
            producer_group="checkout",
            tran_state_table_offset=0,
            commit_log_offset=ids.parse_offset_message_id(half.ext_fields["msgId"]).commit_log_offset,
            commit_or_rollback=COMMIT,
        )

        await wire.client.invoke_oneway(wire.broker.address, RemotingCommand.request(37, header))

        pulled = await wire.pull("order-events", queue_id=2, sys_flag=PullSysFlag.SUSPEND)
        assert bodies(pulled) == [b"order"]


class TestOtherOutcomes:
    async def test_rollback_stores_nothing(self, wire: TransactionWire):
        half = await wire.send_half()

        response = await wire.end(half, ROLLBACK)

        assert (response.code, wire.visible()) == (0, 0)

    async def test_unknown_leaves_it_open(self, wire: TransactionWire):
        half = await wire.send_half()

        assert (await wire.end(half, UNKNOWN)).code == 0
        assert wire.visible() == 0
        assert (await wire.end(half, COMMIT)).code == 0

    async def test_anything_else_is_refused(self, wire: TransactionWire):
        half = await wire.send_half()

        assert (await wire.end(half, 4)).code == ResponseCode.SYSTEM_ERROR


class TestAgreement:
    @pytest.mark.parametrize(
        ("changes", "remark"),
        [
            ({"producer_group": "somebody-else"}, "producer group wrong"),
            ({"tran_state_table_offset": 5}, "transaction state table offset wrong"),
            ({"commit_log_offset": 1}, "prepared transaction message failed"),
            ({"commit_log_offset": 10**12}, "prepared transaction message failed"),
            ({"commit_log_offset": -1}, "prepared transaction message failed"),
        ],
    )
    async def test_of_group_and_both_offsets_is_demanded(self, wire: TransactionWire, changes, remark, caplog):
        half = await wire.send_half()

        response = await wire.end(half, COMMIT, **changes)

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert remark in (response.remark or "")
        assert remark in caplog.text
        assert wire.visible() == 0

    async def test_is_not_given_by_a_message_that_was_never_half(self, wire: TransactionWire):
        text = properties.encode(HALF | {"TRAN_MSG": "false"}).decode()
        ordinary = await wire.send("order-events", queue_id=2, properties_text=text)

        response = await wire.end(ordinary, COMMIT)

        assert response.code == ResponseCode.SYSTEM_ERROR
        assert wire.visible() == 1


class TestImmunity:
    async def test_refuses_a_producer_that_took_longer(self, wire: TransactionWire):
        half = await wire.send_half(CHECK_IMMUNITY_TIME_IN_SECONDS="60")
        wire.clock.advance(60_001)

        assert (await wire.end(half, COMMIT)).code == ResponseCode.ILLEGAL_OPERATION
        assert wire.visible() == 0

    async def test_is_no_matter_for_the_answer_to_a_check(self, wire: TransactionWire):
        half = await wire.send_half(CHECK_IMMUNITY_TIME_IN_SECONDS="60")
        wire.clock.advance(60_001)

        assert (await wire.end(half, COMMIT, from_transaction_check=True)).code == 0

    async def test_not_asked_for_lets_an_end_come_late(self, wire: TransactionWire):
        half = await wire.send_half()
        wire.clock.advance(3_600_000)

        assert (await wire.end(half, COMMIT)).code == 0


class TestOpMessages:
    async def test_name_every_half_message_that_ended(self, wire: TransactionWire):
        halves = [await wire.send_half() for _ in range(4)]
        for number, outcome in ((0, COMMIT), (1, UNKNOWN), (2, ROLLBACK), (3, COMMIT)):
            await wire.end(halves[number], outcome)

        await wire.broker.halves.ops.write()
        await wire.broker.store.durable()

        (entry,) = wire.broker.store.entries(OP_TOPIC, 0, 0, 10)
        (message,) = messages(await wire.pull(OP_TOPIC))
        assert (message.body, message.tag, entry.tag_code) == (b"0,2,3,", "d", ord("d"))

    async def test_hold_about_4096_bytes_each(self, wire: TransactionWire):
        wire.broker.halves.ops.add(range(10_000, 12_000))

        await wire.broker.halves.ops.write()
        await wire.broker.store.durable()

        found = messages(await wire.pull(OP_TOPIC))
        assert [len(message.body) for message in found] == [4092, 4092, 3816]
        assert b"".join(message.body for message in found).startswith(b"10000,10001,")


class TestCheckBack:
    async def test_asks_a_connected_producer_and_takes_its_answer(self, tmp_path):
        clock = ManualClock(START_MS)
        broker = await start_broker(tmp_path, clock, transaction_check_interval_ms=10)
        checks: asyncio.Queue[RemotingCommand] = asyncio.Queue()
        wire = TransactionWire(broker, {RequestCode.CHECK_TRANSACTION_STATE: lambda _, check: checks.put_nowait(check)})
        await wire.heartbeat("shop", producer_group="checkout")
        half = await wire.send_half(b"order 1")
        clock.advance(6000)

        check = (await checks.get()).header(CheckTransactionStateRequestHeader)
        assert check.transaction_id == half.ext_fields["transactionId"]
        await wire.end(
            half,
            COMMIT,
            tran_state_table_offset=check.tran_state_table_offset,
            commit_log_offset=check.commit_log_offset,
            from_transaction_check=True,
        )

        assert bodies(await wire.pull("order-events", queue_id=2)) == [b"order 1"]
        await wire.close()
        await broker.stop()
