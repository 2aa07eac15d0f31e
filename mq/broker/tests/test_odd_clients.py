"""Clients as they are: what they were seen to send, and what RocketMQ makes of it."""

import asyncio
import json
import struct

from mq.broker.tests.wire import Wire, bodies, messages, start_broker, until
from mq.message import batch, properties
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import SendMessageRequestHeader

TOPIC, GROUP = "order-events", "orders"


class Socket:
    """A client that writes its own JSON headers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, code: int, fields: dict[str, object], body: bytes = b"", flag: int = 0) -> dict[str, object]:
        header = json.dumps({"code": code, "extFields": fields, "flag": flag, "opaque": 7, "language": "CPP",
                             "version": 63, "remark": ""}).encode()  # fmt: skip
        self._writer.write(struct.pack(">ii", 4 + len(header) + len(body), len(header)) + header + body)
        length, header_length = struct.unpack(">ii", await self._reader.readexactly(8))
        answer = await self._reader.readexactly(length - 4)
        found: dict[str, object] = json.loads(answer[:header_length])
        return found | {"body": answer[header_length:]}

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def connected(wire: Wire) -> Socket:
    return Socket(*await asyncio.open_connection("127.0.0.1", wire.broker.store_host.port))


class TestHeaderFields:
    async def test_may_be_numbers_and_booleans_and_are_answered_with_texts(self, wire: Wire):
        """C++ sends numbers, Node booleans; Go fails at anything but texts."""
        await wire.send(TOPIC)
        client = await connected(wire)

        answer = await client.ask(
            RequestCode.PULL_MESSAGE,
            {
                "consumerGroup": GROUP, "topic": TOPIC, "queueId": 0, "queueOffset": "0", "maxMsgNums": 32,
                "sysFlag": 6, "commitOffset": 0, "suspendTimeoutMillis": 1000, "subVersion": "1",
                "subscription": "*", "unitMode": False,
            },
        )  # fmt: skip

        assert answer["code"] == 0
        fields = answer["extFields"]
        assert isinstance(fields, dict)
        assert all(isinstance(value, str) for value in fields.values())
        await client.close()

    async def test_of_nobodys_business_are_ignored(self, wire: Wire):
        """C++ signs everything, with empty keys, also where there are no accounts."""
        await wire.create_topic(TOPIC)
        header = {
            "topic": TOPIC,
            "queueId": "0",
            "AccessKey": "",
            "OnsChannel": "ALIYUN",
            "Signature": "x",
            "ReqT": "s",
        }

        assert (await wire.call(RequestCode.GET_MAX_OFFSET, header)).code == 0

    async def test_of_a_cpp_batch_make_one_message_of_it(self, wire: Wire):
        """Code 10 with `batch` "1": only `true` is true to the original, so this stores the batch as it is."""
        entries = batch.encode([batch.BatchEntry(0, b"one", b""), batch.BatchEntry(0, b"two", b"")])
        header = SendMessageRequestHeader("p", TOPIC, "TBW102", 4, 0, 0, 1, 0, batch=True)

        assert (await wire.call(RequestCode.SEND_MESSAGE, header, entries)).code == 0
        assert bodies(await wire.pull(TOPIC)) == [entries]


class TestOneWayRequests:
    async def test_without_the_bit_are_answered_like_any_other(self, wire: Wire):
        """Go, C++ and Node never set it; they drop the answer."""
        await wire.send(TOPIC)
        await wire.heartbeat(GROUP, {TOPIC: "*"})
        lock = {"clientId": "c", "consumerGroup": GROUP, "mqSet": []}
        client = await connected(wire)

        commit = {"consumerGroup": GROUP, "topic": TOPIC, "queueId": 0, "commitOffset": 1}
        assert (await client.ask(RequestCode.UPDATE_CONSUMER_OFFSET, commit))["code"] == 0
        assert (await client.ask(RequestCode.UNLOCK_BATCH_MQ, {}, json.dumps(lock).encode()))["code"] == 0
        unknown = {"producerGroup": "p", "tranStateTableOffset": 0, "commitLogOffset": 0, "commitOrRollback": 0}
        assert (await client.ask(RequestCode.END_TRANSACTION, unknown))["code"] == 0
        await client.close()

    async def test_with_the_bit_are_never_answered_not_even_refused(self, wire: Wire):
        connection = await wire.connection()
        connection.send_oneway(RemotingCommand.request(RequestCode.UPDATE_CONSUMER_OFFSET, {"topic": "nonsense"}))
        connection.send_oneway(RemotingCommand.request(31_000))

        answers = [await wire.call(RequestCode.GET_ALL_TOPIC_CONFIG) for _ in range(2)]

        assert [answer.code for answer in answers] == [0, 0]


class TestLeaving:
    async def test_without_a_farewell_is_noticed_at_once(self, wire: Wire, new_wire):
        """Go never unregisters."""
        gone = new_wire()
        await gone.heartbeat(GROUP, {TOPIC: "*"}, client_id="gone")
        await wire.heartbeat(GROUP, {TOPIC: "*"}, client_id="stays")

        await gone.close()
        await until(lambda: len(wire.broker.consumers.group(GROUP).clients) == 1)  # type: ignore[union-attr]

        assert await wire.consumer_ids(GROUP) == ["stays"]

    async def test_with_an_empty_group_is_taken_for_none(self, wire: Wire):
        await wire.heartbeat(GROUP, {TOPIC: "*"}, producer_group="checkout")

        header = {"clientID": "client-1", "producerGroup": "checkout", "consumerGroup": ""}
        assert (await wire.call(RequestCode.UNREGISTER_CLIENT, header)).code == 0

        assert await wire.consumer_ids(GROUP) == ["client-1"]
        assert wire.broker.producers.clients("checkout") == []


class TestAMessageWithoutAUniqueKey:
    async def test_gets_one_by_which_it_is_found(self, wire: Wire):
        """Node sends none, and the dashboard finds messages by nothing else."""
        sent = await wire.send(TOPIC, b"from node", properties_text="TAGS\x01A\x02")
        (message,) = messages(await wire.pull(TOPIC))

        key = message.properties[properties.UNIQ_KEY]
        now_ms = wire.broker.clock.now_ms()
        found = await wire.call(
            RequestCode.QUERY_MESSAGE,
            {
                "topic": TOPIC, "key": key, "maxNum": "1", "beginTimestamp": str(now_ms - 86_400_000),
                "endTimestamp": str(2**63 - 1), "_UNIQUE_KEY_QUERY": "true",
            },
        )  # fmt: skip

        assert (len(key), sent.ext_fields["transactionId"]) == (32, key)
        assert bodies(found) == [b"from node"]
        assert {"indexLastUpdateTimestamp", "indexLastUpdatePhyoffset"} <= found.ext_fields.keys()


class TestAHeartbeatOfCpp:
    async def test_is_understood_with_ordinals_and_wrong_hashes(self, wire: Wire):
        body = (
            b'{"clientID":"PID-127.0.0.1@DEFAULT","consumerDataSet":[{"consumeFromWhere":0,"consumeType":1,'
            b'"groupName":"orders","messageModel":1,"subscriptionDataSet":[{"codeSet":[0,0],"subString":"A || C",'
            b'"subVersion":"1700000000000","tagsSet":["A","C"],"topic":"order-events"}],"unitMode":false}],'
            b'"producerDataSet":[]}\n'
        )
        for tag in "ABC":
            await wire.send(TOPIC, tag.encode(), tag=tag)

        answer = await wire.call(RequestCode.HEART_BEAT, body=body)
        pulled = await wire.pull(TOPIC, tags=None)

        assert (answer.code, answer.version > 0) == (0, True)
        assert bodies(pulled) == [b"A", b"C"]
        group = wire.broker.consumers.group(GROUP)
        assert group is not None
        assert (group.consume_type, group.message_model) == ("CONSUME_PASSIVELY", "CLUSTERING")


class TestWhatClientsMustNotSee:
    async def test_half_messages_are_found_neither_by_pulls_nor_by_their_keys(self, wire: Wire):
        text = "KEYS\x01k1\x02UNIQ_KEY\x01U1\x02TRAN_MSG\x01true\x02PGROUP\x01p\x02"
        window = {"maxNum": "32", "beginTimestamp": "0", "endTimestamp": str(2**63 - 1)}

        assert (await wire.send(TOPIC, b"half", properties_text=text, sys_flag=4)).code == 0

        for key in ("k1", "U1"):
            found = await wire.call(RequestCode.QUERY_MESSAGE, {"topic": TOPIC, "key": key} | window)
            assert found.code == ResponseCode.QUERY_NOT_FOUND
        assert bodies(await wire.pull(TOPIC)) == []


class TestTraces:
    async def test_are_found_by_the_id_of_their_message(self, tmp_path):
        broker = await start_broker(tmp_path, trace_topic=True)
        wire = Wire(broker)
        text = "KEYS\x01MSGID1 order-4711\x02"
        sent = await wire.send("RMQ_SYS_TRACE_TOPIC", b"Pub\x011\x01...\x02", properties_text=text)
        window = {"maxNum": "64", "beginTimestamp": "0", "endTimestamp": str(2**63 - 1)}

        found = await wire.call(RequestCode.QUERY_MESSAGE, {"topic": "RMQ_SYS_TRACE_TOPIC", "key": "MSGID1"} | window)

        assert (sent.code, bodies(found)) == (0, [b"Pub\x011\x01...\x02"])
        await wire.close()
        await broker.stop()
