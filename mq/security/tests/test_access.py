"""Who gets what from a broker with access control on: over the wire, as a stranger, an application, an operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import msgspec
import pytest

from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.broker.permissions import permissions
from mq.broker.transaction_check import TransactionCheckService
from mq.client import (
    Admin,
    ClientSettings,
    ConsumeFromWhere,
    Producer,
    PushConsumer,
    TransactionProducer,
    TransactionState,
)
from mq.errors import NoRoute, ResponseError
from mq.message import Message, MessageQueue, ReceivedMessage
from mq.namesrv.app import NameServer
from mq.namesrv.permissions import PERMISSIONS
from mq.remoting.bodies import ConsumerData, HeartbeatData, LockBatchRequestBody, ProducerData, SubscriptionData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.signature import Credentials, RequestSigner
from mq.security.accounts import Account, Permission
from mq.security.tests.conftest import ADMIN, ORDERS, PAYMENTS, SECRETS
from mq.standalone import Standalone
from mq.testing import standalone

NO_PERMISSION: Final = 16
ComeAs = Callable[[Credentials | None], RemotingClient]
SEND: Final = {"a": "g", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1700000000000", "h": "0"}
SEND_V1: Final = {
    "producerGroup": "g",
    "defaultTopic": "TBW102",
    "defaultTopicQueueNums": "4",
    "queueId": "0",
    "sysFlag": "0",
    "bornTimestamp": "1700000000000",
    "flag": "0",
}
PULL: Final = {
    "queueId": "0",
    "queueOffset": "0",
    "maxMsgNums": "32",
    "sysFlag": "4",
    "commitOffset": "0",
    "suspendTimeoutMillis": "0",
    "subscription": "*",
    "subVersion": "1",
}


async def ask(client: RemotingClient, address: str, code: int, fields: Any = None, body: bytes = b"") -> int:
    response = await client.invoke(address, RemotingCommand.request(code, fields, body))
    return response.code


def heartbeat(*, group: str | None = None, topics: Iterable[str] = (), producer: str | None = None) -> bytes:
    subscriptions = [SubscriptionData(topic=topic, sub_string="*", sub_version=1) for topic in topics]
    consumers = [ConsumerData(group_name=group, subscription_data_set=subscriptions)] if group else []
    producers = [ProducerData(producer)] if producer else []
    return HeartbeatData("client-1", producers, consumers).to_json()


async def place_of_a_message(mq: Standalone, topic: str, body: bytes = b"secret of its topic") -> int:
    """Where in the log a message of `topic` lies that the operator has just sent."""
    client = RemotingClient(credentials=ADMIN)
    response = await client.invoke(mq.broker_address, RemotingCommand.request(310, SEND | {"b": topic}, body))
    await client.close()
    assert response.code == 0, response.remark
    return int(response.ext_fields["msgId"][16:], 16)


class TestTables:
    """Every code that is answered has a row; a code that gets a handler without one is shut."""

    def test_have_a_row_for_every_code_the_broker_serves(self, tmp_path):
        broker = Broker(BrokerConfig(store_root=tmp_path, listen_port=1))
        served = {code for processor in broker.processors for code in processor.handlers()}

        assert served <= set(permissions(broker.store))

    def test_have_a_row_for_every_code_the_name_server_serves(self):
        assert set(NameServer()._handlers()) <= set(PERMISSIONS)

    def test_have_a_row_for_every_request_there_is(self, tmp_path):
        broker = Broker(BrokerConfig(store_root=tmp_path, listen_port=1))
        from_broker = {39, 40, 220, 221, 326}

        assert {int(code) for code in RequestCode} - from_broker <= set(permissions(broker.store)) | set(PERMISSIONS)

    @pytest.mark.parametrize("code", [RequestCode.ACK_MESSAGE, RequestCode.CHANGE_MESSAGE_INVISIBLETIME])
    def test_name_a_popped_retry_by_its_topic_and_group(self, tmp_path, code):
        rule = permissions(Broker(BrokerConfig(store_root=tmp_path, listen_port=1)).store)[code]
        account = Account("access", "secret", topics={"t": Permission.SUB}, groups={"g": Permission.SUB})

        def refusal(group: str, topic: str) -> str | None:
            return rule(account, {"consumerGroup": group, "topic": topic}, b"")

        assert refusal("g", "t") is None
        assert refusal("g", "%RETRY%g_t") is None
        assert refusal("g", "%RETRY%g_other") is not None
        assert refusal("g", "%RETRY%other_t") is not None
        assert refusal("other", "t") is not None

    @pytest.mark.parametrize("acl", [False, True])
    async def test_shut_a_handler_without_a_row(self, tmp_path, monkeypatch, acl):
        monkeypatch.setattr("mq.broker.app.permissions", lambda store: without(permissions(store), 28))
        async with standalone(tmp_path, acl=acl) as mq:
            accounts = mq.broker.accounts
            admin = accounts.first_admin if accounts else None
            client = RemotingClient(credentials=Credentials(admin.access_key, admin.secret_key) if admin else None)

            assert await ask(client, mq.broker_address, 28) == NO_PERMISSION
            assert await ask(client, mq.broker_address, 26) == 0
            await client.close()


def without(table: dict[int, Any], code: int) -> dict[int, Any]:
    return {key: rule for key, rule in table.items() if key != code}


class TestStrangers:
    @pytest.mark.parametrize(
        "credentials", [None, Credentials("operator", "guessed-secret"), Credentials("nobody", "x")]
    )
    async def test_get_no_answer_but_no_whatever_they_ask(self, mq, come_as, credentials):
        stranger, answers = come_as(credentials), set()
        for code in [*RequestCode, 9999, -1, 3005]:
            for address in (mq.broker_address, mq.namesrv):
                answers.add(await ask(stranger, address, code, {"topic": "Orders", "consumerGroup": "orders"}))

        assert answers == {NO_PERMISSION}

    async def test_are_not_told_whether_the_account_or_the_signature_was_wrong(self, mq, come_as):
        remarks = set()
        for credentials in (Credentials("operator", "guessed-secret"), Credentials("nobody", "guessed-secret")):
            command = RemotingCommand.request(105, {"topic": "T"})
            remarks.add((await come_as(credentials).invoke(mq.broker_address, command)).remark)

        assert len(remarks) == 1

    async def test_are_refused_on_the_vip_port_too(self, tmp_path):
        broker = Broker(BrokerConfig(store_root=tmp_path, listen_port=0, acl=True))

        assert broker.listener.vip_server._guard is broker.listener.server._guard is not None
        await broker.store.close()

    async def test_are_refused_although_a_white_list_names_their_address(self, mq, come_as):
        # ORDERS has whiteRemoteAddress 127.0.0.1 in the accounts of these tests.
        assert await ask(come_as(None), mq.broker_address, 310, SEND | {"b": "Orders"}) == NO_PERMISSION

    async def test_a_request_changed_on_the_way_is_refused(self, mq, come_as):
        command = RemotingCommand.request(310, SEND | {"b": "Orders"}, b"pay 1")
        RequestSigner(ORDERS)(command)
        command.body = b"pay 9"

        assert (await come_as(None).invoke(mq.broker_address, command)).code == NO_PERMISSION


class TestApplications:
    @pytest.mark.parametrize(
        ("credentials", "topic", "code"),
        [
            (ORDERS, "Orders", 0),
            (ORDERS, "OrdersOut", 0),
            (ORDERS, "Else", 16),
            (PAYMENTS, "Orders", 16),
            (PAYMENTS, "E", 0),
        ],
    )
    async def test_send_to_their_topics_only(self, mq, come_as, credentials, topic, code):
        client = come_as(credentials)

        assert await ask(client, mq.broker_address, 310, SEND | {"b": topic}, b"x") == code
        assert await ask(client, mq.broker_address, 10, SEND_V1 | {"topic": topic}, b"x") == code

    async def test_pull_their_topics_as_their_groups_only(self, mq, come_as):
        await place_of_a_message(mq, "Orders")
        await place_of_a_message(mq, "OrdersOut")
        client = come_as(ORDERS)

        async def pull(group: str, topic: str) -> int:
            return await ask(client, mq.broker_address, 11, PULL | {"consumerGroup": group, "topic": topic})

        assert await pull("orders", "Orders") == 0
        assert await pull("payments", "Orders") == NO_PERMISSION
        assert await pull("orders", "OrdersOut") == NO_PERMISSION

    async def test_see_nothing_of_the_brokers_own_topics_through_a_wide_default(self, mq, come_as):
        client = come_as(PAYMENTS)
        for topic in ("RMQ_SYS_TRANS_HALF_TOPIC", "SCHEDULE_TOPIC_XXXX", "rmq_sys_wheel_timer"):
            fields = PULL | {"consumerGroup": "payments", "topic": topic}
            assert await ask(client, mq.broker_address, 11, fields) == NO_PERMISSION

    async def test_use_retry_and_dead_letter_topics_of_their_groups_only(self, mq, come_as):
        client = come_as(ORDERS)

        assert await ask(client, mq.broker_address, 310, SEND | {"b": "%RETRY%orders"}, b"x") == 0
        assert await ask(client, mq.broker_address, 310, SEND | {"b": "%RETRY%payments"}, b"x") == NO_PERMISSION
        assert await ask(client, mq.broker_address, 310, SEND | {"b": "%DLQ%payments"}, b"x") == NO_PERMISSION

    async def test_do_not_get_a_foreign_message_by_its_place_in_the_log(self, mq, come_as):
        foreign = await place_of_a_message(mq, "Payments")
        own = await place_of_a_message(mq, "Orders")
        client = come_as(ORDERS)

        async def give_back(offset: int) -> int:
            fields = {"offset": str(offset), "group": "orders", "delayLevel": "0", "originTopic": "Orders"}
            return await ask(client, mq.broker_address, 36, fields)

        assert await ask(client, mq.broker_address, 33, {"offset": str(foreign), "topic": "Orders"}) == NO_PERMISSION
        assert await give_back(foreign) == NO_PERMISSION
        assert await ask(client, mq.broker_address, 33, {"offset": str(own)}) == 0
        assert await give_back(own) == 0

    async def test_heartbeat_and_lock_for_what_they_may_consume_only(self, mq, come_as):
        client = come_as(ORDERS)

        async def beat(**data: Any) -> int:
            return await ask(client, mq.broker_address, 34, body=heartbeat(**data))

        async def lock(group: str) -> int:
            queue = MessageQueue("Orders", "broker-a", 0)
            body = LockBatchRequestBody(client_id="c", consumer_group=group, mq_set=[queue])
            return await ask(client, mq.broker_address, 41, body=body.to_json())

        assert await beat(group="orders", topics=["Orders", "%RETRY%orders"]) == 0
        assert await beat(group="payments", topics=["Orders"]) == NO_PERMISSION
        assert await beat(group="orders", topics=["Payments"]) == NO_PERMISSION
        assert [await lock("orders"), await lock("payments")] == [0, NO_PERMISSION]

    async def test_commit_and_look_up_offsets_of_their_groups_only(self, mq, come_as):
        client = come_as(ORDERS)
        await place_of_a_message(mq, "Orders")
        await ask(client, mq.broker_address, 34, body=heartbeat(group="orders", topics=["Orders"]))
        fields = {"topic": "Orders", "queueId": "0", "commitOffset": "1"}

        for code in (15, 14):
            assert await ask(client, mq.broker_address, code, fields | {"consumerGroup": "payments"}) == NO_PERMISSION
            assert await ask(client, mq.broker_address, code, fields | {"consumerGroup": "orders"}) == 0

    async def test_are_asked_about_half_messages_they_could_send_only(self, mq):
        """A question shows the message, and anybody can say that it is a producer of the group."""
        asked: list[str] = []

        def somebody(name: str, credentials: Credentials) -> RemotingClient:
            def note(connection: Connection, command: RemotingCommand) -> None:
                asked.append(name)

            return RemotingClient({39: note}, credentials=credentials)

        orders, payments = somebody("orders", ORDERS), somebody("payments", PAYMENTS)
        properties = "TRAN_MSG\x01true\x02PGROUP\x01makers\x02"
        await ask(orders, mq.broker_address, 310, SEND | {"a": "makers", "b": "Orders", "i": properties}, b"an order")
        mq.broker.reconfigure(replace(mq.broker.config, transaction_timeout_ms=0))
        (checks,) = (service for service in mq.broker.services if isinstance(service, TransactionCheckService))

        for client in (payments, orders):
            await ask(client, mq.broker_address, 34, body=heartbeat(producer="makers"))
            await checks.round()
            await ask(client, mq.broker_address, 35, {"clientID": "c"})  # answered behind whatever was asked

        assert asked == ["orders"]
        for client in (payments, orders):
            await client.close()

    async def test_administrate_nothing(self, mq, come_as):
        client = come_as(ORDERS)
        fields = {"topic": "Orders", "group": "orders", "consumerGroup": "orders", "namespace": "n", "key": "k"}
        codes = [17, 18, 21, 25, 26, 28, 200, 201, 202, 203, 204, 207, 208, 215, 222, 223, 225, 300, 305, 307, 309, 314]

        for code in codes:
            assert await ask(client, mq.broker_address, code, fields) == NO_PERMISSION, code
        for code in (100, 101, 102, 103, 104, 205, 206, 216, 219, 224, 304, 318, 319, 322, 327, 901, 904):
            assert await ask(client, mq.namesrv, code, fields) == NO_PERMISSION, code
        assert await ask(client, mq.namesrv, 105, {"topic": "TBW102"}) == 0

    async def test_what_was_checked_is_what_is_done(self, mq, come_as):
        """A name that stands twice in a header must not be read once for the check and once for the deed."""
        command = RemotingCommand.request(310, SEND | {"b": "Orders"}, b"x")
        RequestSigner(ORDERS)(command)
        for doubled in (("Else", "Orders"), ("Orders", "Else")):
            twice = "".join(f'"b":"{topic}",' for topic in doubled)
            rest = msgspec.json.encode(without(command.ext_fields, "b"))  # type: ignore[arg-type]
            command.raw_ext = msgspec.Raw(b"{" + twice.encode() + rest[1:])
            await come_as(None).invoke(mq.broker_address, command)

        assert mq.broker.topics.get("Else") is None


class TestOperators:
    async def test_administrate(self, mq, come_as):
        client = come_as(ADMIN)

        assert await ask(client, mq.broker_address, 28) == 0
        assert await ask(client, mq.broker_address, 3001) == 3
        assert await ask(client, mq.namesrv, 106) == 0

    async def test_no_answer_to_anybody_shows_a_secret(self, mq, come_as):
        client = come_as(ADMIN)
        fields = {"topic": "Orders", "group": "orders", "consumerGroup": "orders", "namespace": "n", "key": "k"}
        for code in RequestCode:
            for address in (mq.broker_address, mq.namesrv):
                response = await client.invoke(address, RemotingCommand.request(code, fields))
                said = f"{response.remark} {response.ext_fields} {response.body.decode(errors='replace')}"
                assert not [secret for secret in SECRETS if secret in said], code

    async def test_secrets_among_the_settings_are_asterisks(self, tmp_path):
        inner = '{"accessKey":"broker-1","secretKey":"inner-secret"}'
        async with standalone(tmp_path, inner_credentials=inner, tls_key_password="key-password") as mq:
            client = RemotingClient()
            response = await client.invoke(mq.broker_address, RemotingCommand.request(RequestCode.GET_BROKER_CONFIG))
            await client.close()

        assert b"innerClientAuthenticationCredentials=******" in response.body
        assert b"inner-secret" not in response.body
        assert b"key-password" not in response.body


class TestOurClient:
    async def test_sends_and_consumes_with_an_account(self, mq):
        settings = ClientSettings(credentials=ORDERS)
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(messages: list[ReceivedMessage]) -> None:
            for message in messages:
                got.put_nowait(message.body)

        async with Producer("makers", namesrv=mq.namesrv, settings=settings) as producer:
            await producer.send(Message("Orders", b"order 1"))
        consumer = PushConsumer(
            "orders", handler=take, namesrv=mq.namesrv, settings=settings, from_where=ConsumeFromWhere.FIRST_OFFSET
        )
        consumer.subscribe("Orders")
        async with consumer, asyncio.timeout(10):
            assert await got.get() == b"order 1"

    async def test_ends_transactions_with_an_account(self, mq):
        async def work(message: Message) -> TransactionState:
            return TransactionState.COMMIT

        async def check(message: ReceivedMessage) -> TransactionState:
            return TransactionState.UNKNOWN

        settings = ClientSettings(credentials=ORDERS)
        async with TransactionProducer("makers", check=check, namesrv=mq.namesrv, settings=settings) as producer:
            half = (await producer.send_in_transaction(Message("Orders", b"order 2"), work)).send_result
            # On the connection on which the end went, so it is answered after that.
            queue = half.queue
            pull = PULL | {"consumerGroup": "orders", "topic": "Orders", "queueId": str(queue.queue_id)}
            command = RemotingCommand.request(11, pull | {"sysFlag": "6", "suspendTimeoutMillis": "5000"})
            response = await producer.client.remoting.invoke(mq.broker_address, command, timeout_s=10)

        assert (response.code, b"order 2" in response.body) == (0, True)

    async def test_is_told_what_its_account_may_not(self, mq):
        async with Producer("makers", namesrv=mq.namesrv, settings=ClientSettings(credentials=ORDERS)) as producer:
            with pytest.raises(ResponseError, match="orders-service may not publish to topic Payments"):
                await producer.send(Message("Payments", b"x"))

    async def test_without_an_account_does_not_even_learn_a_route(self, mq):
        async with Admin(namesrv=mq.namesrv) as admin:
            with pytest.raises(NoRoute, match="check signature failed"):
                await admin.topic_route("Orders")
