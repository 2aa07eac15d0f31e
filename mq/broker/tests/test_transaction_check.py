"""Checks of open transactions: who is asked, when, how often, and what a restart remembers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mq.broker.clients import Client
from mq.broker.half_messages import HALF_TOPIC, PROGRESS_GROUP
from mq.broker.op_messages import OP_TOPIC
from mq.broker.tests.quiet import START_MS, QuietBroker
from mq.broker.transaction import TransactionProcessor
from mq.broker.transaction_check import MAX_CHECKED_TOPIC, TransactionCheckService
from mq.errors import ResponseError, StoreNotWritable
from mq.message import ReceivedMessage, record
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import CheckTransactionStateRequestHeader, EndTransactionRequestHeader
from mq.store.store import AppendResult

COMMIT, ROLLBACK = 8, 12
TIMEOUT_MS, INTERVAL_MS = 6000, 30_000


class Producer:
    """The end of a connection at which a producer listens."""

    is_closed = False

    def __init__(self) -> None:
        self.received: list[RemotingCommand] = []

    def send_oneway(self, command: RemotingCommand) -> None:
        self.received.append(command)

    def send(self, command: RemotingCommand) -> None:
        self.received.append(command)

    def checks(self) -> list[CheckTransactionStateRequestHeader]:
        return [
            command.header(CheckTransactionStateRequestHeader)
            for command in self.received
            if command.code == RequestCode.CHECK_TRANSACTION_STATE
        ]

    def shown(self) -> list[ReceivedMessage]:
        """The messages that came with the checks."""
        return [
            record.decode(command.body)
            for command in self.received
            if command.code == RequestCode.CHECK_TRANSACTION_STATE
        ]


class Transactions:
    """A quiet broker with its check service and one producer of group `checkout`."""

    def __init__(self, quiet: QuietBroker) -> None:
        self.quiet = quiet
        self.halves = quiet.broker.halves
        self.service = TransactionCheckService(quiet.broker, self.halves)
        self.processor = TransactionProcessor(quiet.broker, self.halves)
        self.producer = self.connect()

    def connect(self, group: str = "checkout") -> Producer:
        producer = Producer()
        connection: Any = producer
        self.quiet.broker.producers.register(group, Client(connection, f"client-{id(producer)}", "PYTHON", 479, 0.0))
        return producer

    async def send_half(self, body: bytes = b"order", *, age_ms: int = 3, **more: str) -> AppendResult:
        asked = {"TRAN_MSG": "true", "PGROUP": "checkout", "UNIQ_KEY": body.decode()}
        return await self.quiet.send(body, queue_id=2, age_ms=age_ms, **asked, **more)

    async def end(self, outcome: int, half: AppendResult) -> int:
        """End a transaction as its producer does; returns the code of the answer."""
        return await self._end(outcome, half.queue_offset, half.commit_log_offset, is_check=False)

    async def answer(self, outcome: int, check: CheckTransactionStateRequestHeader) -> int:
        """Answer a check; returns the code of the answer to that."""
        return await self._end(outcome, check.tran_state_table_offset, check.commit_log_offset, is_check=True)

    async def _end(self, outcome: int, queue_offset: int, commit_log_offset: int, *, is_check: bool) -> int:
        header = EndTransactionRequestHeader(
            producer_group="checkout",
            tran_state_table_offset=queue_offset,
            commit_log_offset=commit_log_offset,
            commit_or_rollback=outcome,
            from_transaction_check=is_check,
        )
        producer: Any = Producer()
        try:
            self.processor.handlers()[37](producer, RemotingCommand.request(37, header))
        except ResponseError as error:
            return error.code
        await self.quiet.store.durable()
        return int(producer.received[0].code)

    async def checks_after(self, ms: int) -> list[str]:
        """Move the clock, run one round, and return the transaction ids asked about in it."""
        self.quiet.clock.advance(ms)
        before = len(self.producer.checks())
        await self.service.round()
        return [check.transaction_id or "" for check in self.producer.checks()[before:]]

    def visible(self) -> list[bytes]:
        return self.quiet.bodies(queue_id=2)


@pytest.fixture
async def transactions(tmp_path) -> AsyncIterator[Transactions]:
    quiet = QuietBroker(tmp_path / "store")
    yield Transactions(quiet)
    await quiet.close()


class TestWhenAProducerIsAsked:
    async def test_is_six_seconds_after_the_message(self, transactions: Transactions):
        await transactions.send_half(b"A1")

        assert await transactions.checks_after(TIMEOUT_MS - 1) == []
        assert await transactions.checks_after(1) == ["A1"]

    async def test_is_as_configured(self, tmp_path):
        quiet = QuietBroker(tmp_path, transaction_timeout_ms=50, transaction_check_interval_ms=20)
        transactions = Transactions(quiet)
        await transactions.send_half(b"A1")

        assert await transactions.checks_after(49) == []
        assert await transactions.checks_after(1) == ["A1"]
        assert await transactions.service.round() == 0.02
        await quiet.close()

    async def test_is_after_the_immunity_that_was_asked_for(self, transactions: Transactions):
        await transactions.send_half(b"A1", CHECK_IMMUNITY_TIME_IN_SECONDS="60")

        assert await transactions.checks_after(59_999) == []
        assert await transactions.checks_after(1) == ["A1"]

    async def test_is_again_in_every_round(self, transactions: Transactions):
        await transactions.send_half(b"A1")

        assert await transactions.checks_after(TIMEOUT_MS) == ["A1"]
        assert await transactions.checks_after(INTERVAL_MS) == ["A1"]
        assert await transactions.checks_after(1) == ["A1"]

    async def test_is_never_once_it_has_ended(self, transactions: Transactions):
        committed = await transactions.send_half(b"A1")
        rolled_back = await transactions.send_half(b"A2")
        await transactions.end(COMMIT, committed)
        await transactions.end(ROLLBACK, rolled_back)

        assert await transactions.checks_after(TIMEOUT_MS) == []
        assert await transactions.checks_after(INTERVAL_MS) == []

    async def test_does_not_depend_on_the_producers_clock(self, transactions: Transactions):
        await transactions.send_half(b"A1", age_ms=86_400_000)
        await transactions.send_half(b"A2", age_ms=-86_400_000)

        assert await transactions.checks_after(TIMEOUT_MS - 1) == []
        assert await transactions.checks_after(1) == ["A1", "A2"]


class TestACheck:
    async def test_names_the_copy_by_which_it_is_to_be_answered(self, transactions: Transactions):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)

        (check,) = transactions.producer.checks()
        copy = transactions.quiet.messages(HALF_TOPIC)[1]
        assert (check.tran_state_table_offset, check.commit_log_offset) == (1, copy.commit_log_offset)
        assert (check.msg_id, check.transaction_id, check.offset_msg_id) == ("A1", "A1", copy.offset_message_id)
        assert (check.topic, check.broker_name) == (HALF_TOPIC, "broker-a")

    async def test_shows_the_message_under_its_own_topic(self, transactions: Transactions):
        await transactions.send_half(b"A1", TAGS="OrderPlaced")
        await transactions.checks_after(TIMEOUT_MS)

        (shown,) = transactions.producer.shown()
        (check,) = transactions.producer.checks()
        assert (shown.topic, shown.queue_id, shown.body, shown.tag) == ("order-events", 2, b"A1", "OrderPlaced")
        assert (shown.queue_offset, shown.commit_log_offset) == (1, check.commit_log_offset)
        assert (shown.properties["PGROUP"], shown.properties["TRANSACTION_CHECK_TIMES"]) == ("checkout", "1")

    async def test_expects_no_answer_on_its_own(self, transactions: Transactions):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)

        assert not transactions.producer.received[0].is_response

    async def test_goes_to_one_producer_of_the_group_at_a_time(self, transactions: Transactions):
        second = transactions.connect()
        stranger = transactions.connect("payments")
        await transactions.send_half(b"A1")

        for _ in range(4):
            await transactions.checks_after(INTERVAL_MS)

        assert (len(transactions.producer.checks()), len(second.checks()), stranger.checks()) == (2, 2, [])


class TestAnswers:
    async def test_commit_makes_the_message_visible_once(self, transactions: Transactions):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)

        code = await transactions.answer(COMMIT, transactions.producer.checks()[0])

        assert (code, transactions.visible()) == (0, [b"A1"])
        assert await transactions.checks_after(INTERVAL_MS) == []

    async def test_rollback_ends_it(self, transactions: Transactions):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)

        await transactions.answer(ROLLBACK, transactions.producer.checks()[0])

        assert transactions.visible() == []
        assert await transactions.checks_after(INTERVAL_MS) == []

    async def test_and_a_late_end_of_the_producer_together_count_once(self, transactions: Transactions):
        half = await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)

        late = await transactions.end(COMMIT, half)
        answer = await transactions.answer(COMMIT, transactions.producer.checks()[0])

        assert (late, answer) == (0, ResponseCode.ILLEGAL_OPERATION)
        assert transactions.visible() == [b"A1"]
        assert await transactions.checks_after(INTERVAL_MS) == []

    async def test_to_an_earlier_check_is_as_good_as_to_the_last(self, transactions: Transactions):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)
        await transactions.checks_after(INTERVAL_MS)

        first, second = transactions.producer.checks()
        assert await transactions.answer(COMMIT, first) == 0
        assert await transactions.answer(COMMIT, second) == ResponseCode.ILLEGAL_OPERATION
        assert transactions.visible() == [b"A1"]

    async def test_that_come_while_a_copy_is_stored_leave_nothing_open(self, transactions: Transactions, monkeypatch):
        half = await transactions.send_half(b"A1")
        durable = transactions.quiet.store.durable

        async def end_meanwhile() -> None:
            monkeypatch.setattr(transactions.quiet.store, "durable", durable)
            await transactions.end(COMMIT, half)

        monkeypatch.setattr(transactions.quiet.store, "durable", end_meanwhile)
        assert await transactions.checks_after(TIMEOUT_MS) == []

        assert transactions.visible() == [b"A1"]
        assert await transactions.checks_after(INTERVAL_MS) == []


class TestGivingUp:
    async def test_comes_after_fifteen_checks(self, transactions: Transactions, caplog):
        await transactions.send_half(b"A1")
        for times in range(1, 16):
            await transactions.checks_after(INTERVAL_MS)
            assert transactions.producer.shown()[-1].properties["TRANSACTION_CHECK_TIMES"] == str(times)

        assert await transactions.checks_after(INTERVAL_MS) == []

        (given_up,) = transactions.quiet.messages(MAX_CHECKED_TOPIC)
        assert (given_up.body, given_up.properties["REAL_TOPIC"]) == (b"A1", "order-events")
        assert "A1 of checkout stayed unknown after 15 checks" in caplog.text
        assert await transactions.checks_after(INTERVAL_MS) == []
        assert len(transactions.quiet.messages(MAX_CHECKED_TOPIC)) == 1

    async def test_creates_the_topic_where_a_person_finds_it(self, tmp_path):
        quiet = QuietBroker(tmp_path, transaction_check_max=0)
        transactions = Transactions(quiet)
        await transactions.send_half(b"A1")

        await transactions.checks_after(TIMEOUT_MS)

        topic = quiet.broker.topics.get(MAX_CHECKED_TOPIC)
        assert topic is not None
        assert (topic.read_queue_nums, topic.write_queue_nums) == (1, 1)
        await quiet.close()

    async def test_comes_before_retention_takes_the_message(self, transactions: Transactions):
        await transactions.send_half(b"A1")

        assert await transactions.checks_after(72 * 3_600_000 + 1) == []
        assert transactions.quiet.bodies(MAX_CHECKED_TOPIC) == [b"A1"]

    async def test_does_not_come_while_nobody_can_be_asked(self, transactions: Transactions):
        transactions.quiet.broker.producers.connection_closed(transactions.producer)  # type: ignore[arg-type]
        await transactions.send_half(b"A1")
        for _ in range(20):
            await transactions.checks_after(INTERVAL_MS)
        assert len(transactions.quiet.messages(HALF_TOPIC)) == 1

        transactions.producer = transactions.connect()

        assert await transactions.checks_after(INTERVAL_MS) == ["A1"]


class TestProgress:
    async def test_moves_over_everything_that_ended(self, transactions: Transactions):
        halves = [await transactions.send_half(b"A%d" % number) for number in range(4)]
        for half in (halves[0], halves[1], halves[3]):
            await transactions.end(COMMIT, half)
        await transactions.halves.ops.write()

        await transactions.checks_after(1)

        assert transactions.quiet.broker.offsets.get(PROGRESS_GROUP, HALF_TOPIC, 0) == 2
        assert transactions.quiet.broker.offsets.get(PROGRESS_GROUP, OP_TOPIC, 0) == 0

    async def test_of_op_messages_follows_when_they_are_used_up(self, transactions: Transactions):
        for number in range(3):
            await transactions.end(COMMIT, await transactions.send_half(b"A%d" % number))
            await transactions.halves.ops.write()
            await transactions.quiet.store.durable()

        await transactions.checks_after(1)

        assert transactions.quiet.broker.offsets.get(PROGRESS_GROUP, HALF_TOPIC, 0) == 3
        assert transactions.quiet.broker.offsets.get(PROGRESS_GROUP, OP_TOPIC, 0) == 3

    async def test_does_not_wait_for_one_that_stays_open(self, transactions: Transactions):
        await transactions.send_half(b"open")
        for number in range(3):
            await transactions.end(COMMIT, await transactions.send_half(b"A%d" % number))

        await transactions.checks_after(TIMEOUT_MS)

        # The open one lives on as a copy behind the others.
        assert transactions.quiet.broker.offsets.get(PROGRESS_GROUP, HALF_TOPIC, 0) == 4

    async def test_does_not_move_before_what_ended_is_on_disk(self, transactions: Transactions):
        half = await transactions.send_half(b"A1")
        store, offsets = transactions.quiet.store, transactions.quiet.broker.offsets
        store._commit.is_scheduled = True  # nothing is committed until we say so

        ending = asyncio.create_task(transactions.end(COMMIT, half))
        checking = asyncio.create_task(transactions.service.round())
        await asyncio.wait([checking], timeout=0.05)

        assert transactions.visible() == []
        assert offsets.get(PROGRESS_GROUP, HALF_TOPIC, 0) < 1
        store.commit()
        store._commit.is_scheduled = False
        await asyncio.gather(ending, checking)
        assert transactions.visible() == [b"A1"]
        assert offsets.get(PROGRESS_GROUP, HALF_TOPIC, 0) == 1


class TestRestart:
    async def test_after_a_clean_stop_asks_about_open_ones_only(self, transactions: Transactions):
        ended, _ = await transactions.send_half(b"A1"), await transactions.send_half(b"A2")
        await transactions.end(COMMIT, ended)
        await transactions.service.stop()

        again = Transactions(await transactions.quiet.reopened())

        assert await again.checks_after(TIMEOUT_MS) == ["A2"]
        assert again.visible() == [b"A1"]
        transactions.quiet = again.quiet

    async def test_after_a_kill_asks_again_rather_than_loses(self, transactions: Transactions, tmp_path):
        ended, _ = await transactions.send_half(b"A1"), await transactions.send_half(b"A2")
        await transactions.end(COMMIT, ended)  # its op message is not written yet

        again = Transactions(transactions.quiet.killed(tmp_path / "killed"))

        assert await again.checks_after(TIMEOUT_MS) == ["A1", "A2"]
        await again.quiet.close()

    async def test_after_a_kill_trusts_the_op_messages(self, transactions: Transactions, tmp_path):
        ended, _ = await transactions.send_half(b"A1"), await transactions.send_half(b"A2")
        await transactions.end(COMMIT, ended)
        await transactions.halves.ops.write()
        await transactions.quiet.store.durable()

        again = Transactions(transactions.quiet.killed(tmp_path / "killed"))

        assert await again.checks_after(TIMEOUT_MS) == ["A2"]
        assert await again.end(COMMIT, ended) == ResponseCode.ILLEGAL_OPERATION
        await again.quiet.close()

    async def test_after_a_kill_asks_once_about_a_message_and_its_copies(self, transactions: Transactions, tmp_path):
        await transactions.send_half(b"A1")
        await transactions.checks_after(TIMEOUT_MS)
        await transactions.checks_after(INTERVAL_MS)

        again = Transactions(transactions.quiet.killed(tmp_path / "killed"))

        assert await again.checks_after(INTERVAL_MS) == ["A1"]
        assert again.producer.shown()[0].properties["TRANSACTION_CHECK_TIMES"] == "3"
        await again.quiet.close()

    async def test_finds_the_progress_that_rocketmq_wrote(self, transactions: Transactions):
        for number in range(3):
            await transactions.send_half(b"A%d" % number)
        transactions.quiet.broker.offsets.commit(PROGRESS_GROUP, HALF_TOPIC, 0, 1)
        text = b"TAGS\x01d\x02"
        host = transactions.quiet.broker.store_host
        transactions.quiet.store.append(RecordFields(OP_TOPIC, 0, b"0,2,", text, 0, 0, START_MS, host))

        again = Transactions(await transactions.quiet.reopened())

        assert await again.checks_after(TIMEOUT_MS) == ["A1"]
        transactions.quiet = again.quiet


class TestDamage:
    async def test_of_one_half_message_does_not_stop_the_others(self, transactions: Transactions, caplog):
        host = transactions.quiet.broker.store_host
        text = b"PGROUP\x01checkout\x02"
        transactions.quiet.store.append(RecordFields(HALF_TOPIC, 0, b"nowhere", text, 0, 0, START_MS, host))
        await transactions.send_half(b"A1")

        assert await transactions.checks_after(TIMEOUT_MS) == ["A1"]
        assert "can never be committed" in caplog.text
        assert await transactions.checks_after(INTERVAL_MS) == ["A1"]

    async def test_of_the_disk_loses_no_transaction(self, transactions: Transactions, monkeypatch):
        await transactions.send_half(b"A1")

        def full(fields: RecordFields) -> AppendResult:
            raise StoreNotWritable("the disk is full")

        with monkeypatch.context() as context:
            context.setattr(transactions.quiet.store, "append", full)
            with pytest.raises(StoreNotWritable):
                await transactions.checks_after(TIMEOUT_MS)

        assert await transactions.checks_after(0) == ["A1"]

    async def test_of_the_disk_half_way_commits_nothing_twice(self, transactions: Transactions, monkeypatch):
        first = await transactions.send_half(b"A1")
        await transactions.send_half(b"A2")
        append = transactions.quiet.store.append

        def full_after_the_first(fields: RecordFields) -> AppendResult:
            if b"A2" in fields.properties_text:
                raise StoreNotWritable("the disk is full")
            return append(fields)

        with monkeypatch.context() as context:
            context.setattr(transactions.quiet.store, "append", full_after_the_first)
            with pytest.raises(StoreNotWritable):
                await transactions.checks_after(TIMEOUT_MS)
        await transactions.end(COMMIT, first)

        assert await transactions.checks_after(0) == ["A2"]

    async def test_of_the_disk_does_not_keep_the_broker_from_stopping(
        self, transactions: Transactions, monkeypatch, caplog
    ):
        await transactions.end(COMMIT, await transactions.send_half(b"A1"))

        def failed(fields: RecordFields) -> AppendResult:
            raise StoreNotWritable("the disk failed")

        with monkeypatch.context() as context:
            context.setattr(transactions.quiet.store, "append", failed)
            await transactions.service.stop()

        assert "will be asked about again: the disk failed" in caplog.text
