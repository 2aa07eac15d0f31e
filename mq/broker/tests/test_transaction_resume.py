"""Transactions that were given up get a second chance."""

from collections.abc import AsyncIterator

import pytest

from mq.broker.half_messages import HALF_TOPIC
from mq.broker.tests.quiet import QuietBroker
from mq.broker.tests.test_transaction_check import COMMIT, INTERVAL_MS, Transactions
from mq.broker.transaction_check import MAX_CHECKED_TOPIC
from mq.broker.transaction_resume import TransactionResumeProcessor
from mq.errors import ResponseError
from mq.remoting.command import RemotingCommand


@pytest.fixture
async def transactions(tmp_path) -> AsyncIterator[Transactions]:
    quiet = QuietBroker(tmp_path / "store")
    yield Transactions(quiet)
    await quiet.close()


async def resume(transactions: Transactions, message_id: str) -> int:
    processor = TransactionResumeProcessor(transactions.quiet.broker)
    nobody: object = None
    answer = processor.handlers()[323](nobody, RemotingCommand.request(323, {"msgId": message_id}))  # type: ignore[arg-type]
    try:
        return int((await answer).code)  # type: ignore[misc]
    except ResponseError as error:
        return error.code


class TestResuming:
    async def test_asks_again_and_lets_the_producer_commit(self, transactions: Transactions):
        await transactions.send_half()
        for _ in range(16):
            await transactions.checks_after(INTERVAL_MS)
        (given_up,) = transactions.quiet.messages(MAX_CHECKED_TOPIC)

        assert await resume(transactions, given_up.offset_message_id) == 0
        assert await transactions.checks_after(INTERVAL_MS) == ["order"]
        assert await transactions.answer(COMMIT, transactions.producer.checks()[-1]) == 0
        assert transactions.visible() == [b"order"]
        assert await transactions.checks_after(INTERVAL_MS) == []

    @pytest.mark.parametrize("topic", [HALF_TOPIC, "order-events"])
    async def test_is_refused_for_what_was_not_given_up(self, transactions: Transactions, topic):
        """Else a message that was delivered, or one whose half message is still open, could come twice."""
        half = await transactions.send_half()
        await transactions.end(COMMIT, half)
        queue_id = 0 if topic == HALF_TOPIC else 2
        message = transactions.quiet.messages(topic, queue_id)[0]

        assert await resume(transactions, message.offset_message_id) == 1
        assert len(transactions.quiet.messages(HALF_TOPIC)) == 1

    @pytest.mark.parametrize("message_id", ["", "nonsense", "7F00000100002A9F0000000000FFFFFF"])
    async def test_is_refused_for_what_is_no_message(self, transactions: Transactions, message_id):
        assert await resume(transactions, message_id) == 1
