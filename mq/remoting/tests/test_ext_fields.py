"""Typed headers: both header forms must say the same, however the binary form learned to read fast."""

from __future__ import annotations

import os
import random

import msgspec
import pytest

from mq.errors import RemoteProtocolError
from mq.remoting import binary_ext
from mq.remoting.binary_ext import MAX_LENGTHS, MAX_SHAPES_PER_LENGTH, BinaryExt, Shapes
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import (
    EndTransactionRequestHeader,
    Header,
    PullMessageRequestHeader,
    SendMessageRequestHeader,
    SendMessageRequestHeaderV2,
)


def send_header(**changes: object) -> SendMessageRequestHeaderV2:
    header = SendMessageRequestHeaderV2(
        producer_group="pg",
        topic="orders",
        default_topic="TBW102",
        default_topic_queue_nums=4,
        queue_id=3,
        sys_flag=0,
        born_timestamp=1_700_000_000_000,
        flag=0,
        properties="KEYS\x01k1\x02UNIQ_KEY\x017F00000100002A9F\x02",
        reconsume_times=0,
        unit_mode=False,
        batch=False,
        broker_name="broker-a",
    )
    return msgspec.structs.replace(header, **changes)


def arrived(decoder: FrameDecoder, fields: dict[str, str] | Header, *, is_binary: bool) -> RemotingCommand:
    command = RemotingCommand.request(310, fields)
    command.is_binary = is_binary
    (received,) = decoder.feed(encode(command))
    return received


@pytest.mark.parametrize("is_binary", [False, True])
class TestHeader:
    def test_comes_back_as_it_was_sent(self, is_binary):
        received = arrived(FrameDecoder(), send_header(), is_binary=is_binary)

        assert received.header(SendMessageRequestHeaderV2) == send_header()

    def test_uses_one_letter_names_in_v2_and_full_names_in_v1(self, is_binary):
        assert arrived(FrameDecoder(), send_header(), is_binary=is_binary).ext_fields["b"] == "orders"
        v1 = SendMessageRequestHeader("pg", "orders", "TBW102", 4, 0, 0, 0, 0, batch=True)
        assert arrived(FrameDecoder(), v1, is_binary=is_binary).ext_fields == {
            "producerGroup": "pg",
            "topic": "orders",
            "defaultTopic": "TBW102",
            "defaultTopicQueueNums": "4",
            "queueId": "0",
            "sysFlag": "0",
            "bornTimestamp": "0",
            "flag": "0",
            "batch": "true",
        }

    def test_skips_unknown_fields(self, is_binary):
        fields = {**arrived(FrameDecoder(), send_header(), is_binary=False).ext_fields, "ReqT": "1", "ns": "x"}

        received = arrived(FrameDecoder(), fields, is_binary=is_binary)

        assert received.header(SendMessageRequestHeaderV2) == send_header()

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"topic": None}, "topic"),
            ({"queueId": "three"}, "queueId"),
            ({"queueId": "2147483648"}, "queueId"),
            ({"queueOffset": "9223372036854775808"}, "queueOffset"),
            ({"maxMsgNums": "0x10"}, "maxMsgNums"),
        ],
    )
    def test_names_the_missing_or_bad_field(self, is_binary, changes, complaint):
        header = PullMessageRequestHeader("g", "t", 0, 0, 32, 2, 0, 15_000, 0)
        fields = arrived(FrameDecoder(), header, is_binary=False).ext_fields | changes
        received = arrived(
            FrameDecoder(), {name: value for name, value in fields.items() if value is not None}, is_binary=is_binary
        )

        with pytest.raises(RemoteProtocolError, match=complaint):
            received.header(PullMessageRequestHeader)

    def test_reads_booleans_as_texts_and_as_digits(self, is_binary):
        fields = {"producerGroup": "g", "tranStateTableOffset": "1", "commitLogOffset": "2", "commitOrRollback": "8"}
        for text, expected in (("true", True), ("false", False), ("1", True), ("0", False)):
            received = arrived(FrameDecoder(), fields | {"fromTransactionCheck": text}, is_binary=is_binary)

            assert received.header(EndTransactionRequestHeader).from_transaction_check is expected


class TestJsonValues:
    def test_may_be_numbers_where_texts_belong(self):
        command = RemotingCommand.request(11)
        command.raw_ext = msgspec.Raw(
            b'{"consumerGroup":42,"topic":"t","queueId":0,"queueOffset":"7","maxMsgNums":32,"sysFlag":6,'
            b'"commitOffset":0,"suspendTimeoutMillis":15000,"subVersion":"1795173941738319292","queueIdx":null}'
        )

        header = command.header(PullMessageRequestHeader)

        assert (header.consumer_group, header.queue_offset, header.sub_version) == ("42", 7, 1795173941738319292)

    def test_may_not_be_objects(self):
        command = RemotingCommand.request(11)
        command.raw_ext = msgspec.Raw(b'{"topic":{"a":1}}')

        with pytest.raises(RemoteProtocolError, match="topic"):
            _ = command.ext_fields


class TestLearnedShapes:
    def test_agree_with_json_on_every_header_of_a_long_conversation(self):
        seed = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
        print(f"seed {seed}")
        chance = random.Random(seed)
        learning, plain = FrameDecoder(), FrameDecoder()

        for _ in range(5000):
            sent = send_header(
                producer_group=chance.choice(("pg", "gp", "order-service")),
                queue_id=chance.choice((0, 7, 12, -1)),
                born_timestamp=1_700_000_000_000 + chance.randrange(10**6),
                properties=chance.choice((None, "KEYS\x01键\x02", f"UNIQ_KEY\x01{chance.randrange(16**8):08X}\x02")),
                unit_mode=chance.choice((None, True, False)),
                reconsume_times=chance.choice((0, 1, 16)),
            )

            from_binary = arrived(learning, sent, is_binary=True).header(SendMessageRequestHeaderV2)
            from_json = arrived(plain, sent, is_binary=False).header(SendMessageRequestHeaderV2)

            assert from_binary == from_json == sent

    def test_a_known_shape_still_checks_its_values(self):
        decoder = FrameDecoder()
        good = [arrived(decoder, send_header(queue_id=queue_id), is_binary=True) for queue_id in (1, 2, 3)]
        assert [command.header(SendMessageRequestHeaderV2).queue_id for command in good] == [1, 2, 3]

        bad = arrived(decoder, good[0].ext_fields | {"e": "x"}, is_binary=True)

        with pytest.raises(RemoteProtocolError, match=r"\$\.e"):
            bad.header(SendMessageRequestHeaderV2)

    def test_two_producers_of_equal_header_length_do_not_disturb_each_other(self):
        decoder = FrameDecoder()
        sent = [send_header(topic=topic, queue_id=n % 8) for n in range(50) for topic in ("orders", "refund")]

        read = [arrived(decoder, header, is_binary=True).header(SendMessageRequestHeaderV2) for header in sent]

        assert read == sent

    def test_a_header_that_its_owner_changes_leaves_the_shape_alone(self):
        decoder = FrameDecoder()
        arrived(decoder, send_header(), is_binary=True).header(SendMessageRequestHeaderV2).topic = "changed"

        again = arrived(decoder, send_header(), is_binary=True).header(SendMessageRequestHeaderV2)

        assert again.topic == "orders"

    def test_the_last_of_equal_keys_counts(self):
        shapes = Shapes()
        for first, last in (("1", "2"), ("3", "2"), ("3", "4")):
            entries = [("group", "g"), ("offset", "5"), ("delayLevel", first), ("delayLevel", last)]
            data = b"".join(binary_entry(key, value) for key, value in entries)

            assert BinaryExt(data, shapes).shapes.read(data, SendBackLike).delay_level == int(last)

    def test_what_one_connection_teaches_is_bounded(self):
        shapes = Shapes()
        for length in range(1, 3 * MAX_LENGTHS):
            for name in ("aa", "bb", "cc", "dd", "ee", "ff"):
                data = binary_entry("group", "g" * length) + binary_entry("delayLevel", "1") + binary_entry(name, "x")
                shapes.read(data, SendBackLike)

        remembered = shapes._by_length.values()
        assert len(remembered) <= MAX_LENGTHS
        assert max(map(len, remembered)) <= MAX_SHAPES_PER_LENGTH

    @pytest.mark.parametrize(
        "data",
        [
            b"\x00",
            b"\x00\x05topic",
            b"\x00\x05topic\x00\x00\x00\x02T",
            b"\xff\xff" + bytes(8),
            b"\x00\x05topic\xff\xff\xff\xffT",
            b"\x00\x05topic\x00\x00\x00\x01\xff",
        ],
    )
    def test_malformed_entries_are_refused(self, data):
        with pytest.raises(RemoteProtocolError):
            binary_ext.decode(data)


class SendBackLike(Header):
    group: str
    delay_level: int


def binary_entry(key: str, value: str) -> bytes:
    return len(key).to_bytes(2, "big") + key.encode() + len(value).to_bytes(4, "big") + value.encode()
