"""Messages that did not arrive, against a real broker and the real inbox tables."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from django.db import connections

from config.environment import SERVICES
from messaging import topics
from mq.client import Admin, Producer, PullConsumer, TransactionProducer, TransactionState
from mq.message import Message, MessageQueue
from mq.testing import BrokerProcess
from verify import messages

pytestmark = pytest.mark.django_db(databases=SERVICES)


@pytest.fixture(scope="module")
def namesrv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = BrokerProcess(tmp_path_factory.mktemp("mq"), transactionCheckInterval=200, transactionTimeOut=60_000)
    process.start()
    asyncio.run(topics.create(topics.of_services(SERVICES), namesrv=process.namesrv))
    yield process.namesrv
    process.stop()


@pytest.fixture(autouse=True)
def _at_this_broker(settings, namesrv: str) -> None:
    settings.MQ_NAMESRV_ADDR = namesrv


@pytest.fixture(autouse=True)
def _consumed(namesrv: str) -> Iterator[None]:
    """Whatever a test leaves behind is consumed for the next one."""
    yield
    run(_commit_everything(namesrv))


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def _commit_everything(namesrv: str) -> None:
    async with Admin(namesrv=namesrv) as admin:
        for subscription in messages.subscriptions():
            consumer = PullConsumer(subscription.group, client=admin.client)
            for queue in await admin.queues(subscription.topic):
                end = await admin.max_offset(queue)
                await consumer.pull(queue, end)  # the broker makes a group when it first pulls
                await consumer.commit(queue, end)


async def send(namesrv: str, topic: str, tag: str) -> MessageQueue:
    async with Producer("tests", namesrv=namesrv) as producer:
        sent = await producer.send(Message(topic, b"{}", tag=tag, keys=("A",), sharding_key="A"))
    return sent.queue


class TestUnderWay:
    def test_is_nothing_when_all_is_consumed(self):
        assert messages.under_way() == {}

    def test_names_every_group_that_has_not_consumed_a_message_it_wants(self, namesrv):
        run(send(namesrv, "order-events", "OrderPaid"))

        groups = {one.group for one in messages.subscriptions() if "OrderPaid" in one.tags}
        assert groups >= {"accounts", "inventory"}
        assert messages.under_way() == {f"in order-events for {group}": 1 for group in groups}

    def test_ignores_messages_that_nobody_wants(self, namesrv):
        run(send(namesrv, "order-events", "NobodyListens"))

        assert messages.under_way() == {}

    def test_counts_what_lies_behind_unwanted_messages(self, namesrv):
        for tag in ("NobodyListens", "CloseTrade", "NobodyListens", "CloseTrade"):
            run(send(namesrv, "payment-events", tag))

        assert messages.under_way() == {"in payment-events for payments": 2}

    def test_sees_retries_and_dead_letters(self, namesrv):
        async def create_and_send() -> None:
            async with Admin(namesrv=namesrv) as admin:
                for topic in ("%RETRY%orders", "%DLQ%orders"):
                    await admin.create_topic(topic, queue_count=1)
            await send(namesrv, "%RETRY%orders", "OrderPaid")
            await send(namesrv, "%DLQ%orders", "OrderPaid")

        run(create_and_send())

        assert messages.under_way() == {"in %RETRY%orders": 1, "in %DLQ%orders": 1}

        async def delete() -> None:
            async with Admin(namesrv=namesrv) as admin:
                for topic in ("%RETRY%orders", "%DLQ%orders"):
                    await admin.delete_topic(topic)

        run(delete())

    def test_sees_half_messages_until_their_transaction_ends(self, namesrv):
        async def half_then(look: list[dict[str, int]]) -> None:
            async with TransactionProducer(
                "tests-transactions", check=lambda message: TransactionState.UNKNOWN, namesrv=namesrv
            ) as producer:
                half = await producer.send_half(Message("order-events", b"{}", tag="NobodyListens", sharding_key="A"))
                look.append(await asyncio.to_thread(in_broker))
                await producer.end(half, TransactionState.ROLLBACK)
                async with asyncio.timeout(10):
                    while found := await asyncio.to_thread(in_broker):
                        look.append(found)

        def in_broker() -> dict[str, int]:
            return dict(+asyncio.run(messages._in_broker()))

        looks: list[dict[str, int]] = []
        run(half_then(looks))

        assert looks[0] == {"half messages": 1}

    @pytest.mark.parametrize("service", SERVICES)
    def test_sees_answers_that_were_not_sent_and_parked_messages(self, service):
        with connections[service].cursor() as cursor:
            cursor.execute(
                'INSERT INTO messaging_inboxmessage ("group", key, message_id, outgoing) VALUES (%s, %s, %s, %s)',
                [service, "OrderPaid:A", "0", "[]"],
            )
            cursor.execute(
                "INSERT INTO messaging_parkedmessage "
                '("group", key, sharding_key, topic, tag, message_id, body, reason, attempts) '
                "VALUES (%s, 'OrderPaid:B', 'B', 'order-events', 'OrderPaid', '0', '', 'poison', 1)",
                [service],
            )

        found = messages.under_way()

        assert found == {f"answers of {service} not sent": 1, f"parked in {service}": 1}

    def test_turns_the_check_red(self, namesrv):
        run(send(namesrv, "payment-events", "PaymentSucceeded"))

        found = messages.CHECKS[0].run()

        assert found.breaks == ["1 in payment-events for orders"]
