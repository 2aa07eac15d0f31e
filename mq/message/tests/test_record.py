"""The stored form against vectors made by RocketMQ's own classes."""

import pytest

from mq.errors import RemoteProtocolError
from mq.message import Host, batch, ids, properties, record

HELLO = bytes.fromhex(
    "00000068DAA320A73610A6860000000300000000000000000000000500000000000004D2000000000000018BCFE568000A000001000015B3"
    "0000018BCFE568017F00000100002A9F0000000000000000000000000000000568656C6C6F0154000754414753014102"
)


def hello_fields() -> record.RecordFields:
    return record.RecordFields(
        topic="T",
        queue_id=3,
        body=b"hello",
        properties_text=properties.encode({"TAGS": "A"}),
        sys_flag=0,
        flag=0,
        born_timestamp_ms=1_700_000_000_000,
        born_host=Host("10.0.0.1", 5555),
    )


class TestRecord:
    def test_is_byte_for_byte_what_rocketmq_writes(self):
        encoded = record.encode(
            hello_fields(),
            queue_offset=5,
            commit_log_offset=1234,
            store_timestamp_ms=1_700_000_000_001,
            store_host=Host("127.0.0.1", 10911),
        )

        assert encoded.hex().upper() == HELLO.hex().upper()

    def test_reads_back_what_rocketmq_wrote(self):
        message = record.decode(HELLO, check_crc=True)

        assert (message.topic, message.queue_id, message.queue_offset, message.body) == ("T", 3, 5, b"hello")
        assert message.properties == {"TAGS": "A"}
        assert message.offset_message_id == "7F00000100002A9F00000000000004D2"

    @pytest.mark.parametrize("length", range(len(HELLO)))
    def test_refuses_every_truncation(self, length):
        with pytest.raises(RemoteProtocolError):
            record.decode(HELLO[:length])

    def test_sees_a_changed_body(self):
        damaged = HELLO.replace(b"hello", b"jello")

        with pytest.raises(RemoteProtocolError, match="CRC"):
            record.decode(damaged, check_crc=True)

    def test_long_topics_and_ipv6_hosts_survive_the_round_trip(self):
        fields = hello_fields()
        fields.topic, fields.born_host = "%RETRY%" + "g" * 125, Host("2001:db8::1", 80)

        encoded = record.encode(
            fields, queue_offset=0, commit_log_offset=0, store_timestamp_ms=1, store_host=Host("::1", 10911)
        )
        message = record.decode(encoded, check_crc=True)

        assert (message.topic, message.born_host, message.store_host) == (
            fields.topic,
            fields.born_host,
            Host("::1", 10911),
        )


class TestIterate:
    def test_yields_each_record_and_skips_blank_ones(self):
        blank = bytes.fromhex("00000010CBD43194") + bytes(8)

        assert [message.body for message in record.iterate(HELLO + blank + HELLO)] == [b"hello", b"hello"]


class TestBatch:
    def test_is_byte_for_byte_what_rocketmq_writes(self):
        text = properties.encode({"KEYS": "k1", "WAIT": "true", "TAGS": "A"})
        expected = (
            "000000340000000000000000000000000000000568656C6C6F00194B455953016B31025741495401747275650254414753014102"
        )

        encoded = batch.encode([batch.BatchEntry(0, b"hello", text)])

        assert encoded.hex().upper() == expected
        assert list(batch.decode(encoded * 2)) == [batch.BatchEntry(0, b"hello", text)] * 2

    def test_refuses_lengths_that_do_not_add_up(self):
        encoded = batch.encode([batch.BatchEntry(0, b"hello", b"")])

        for length in range(1, len(encoded)):
            with pytest.raises(RemoteProtocolError):
                list(batch.decode(encoded[:length]))


class TestProperties:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b"", {}),
            (b"TAGS\x01A\x02", {"TAGS": "A"}),
            (b"TAGS\x01A", {"TAGS": "A"}),
            (b"KEYS\x01k1 k2\x02TAGS\x01A\x02", {"KEYS": "k1 k2", "TAGS": "A"}),
            (b"EMPTY\x01\x02broken\x02\x01x\x02a\x01b\x02", {"a": "b"}),
        ],
    )
    def test_reads_what_java_and_older_clients_write(self, text, expected):
        assert properties.decode(text) == expected
        assert all(properties.find(text, name) == value for name, value in expected.items())
        assert properties.find(text, "absent") is None

    @pytest.mark.parametrize(
        ("tag", "code"),
        [
            ("TagA", 2598919),
            ("order-created", -392709271),
            ("标签", 857175),
            ("\U0001f600", 1772899),
            (None, 0),
            ("", 0),
        ],
    )
    def test_hashes_tags_as_java_does(self, tag, code):
        assert properties.tag_code(tag) == code


class TestIds:
    def test_an_offset_id_names_host_and_place(self):
        text = ids.offset_message_id(Host("127.0.0.1", 10911), 1234)

        assert text == "7F00000100002A9F00000000000004D2"
        assert ids.parse_offset_message_id(text) == (Host("127.0.0.1", 10911), 1234)

    @pytest.mark.parametrize("text", ["", "xyz", "7F", "0" * 31, "0" * 40])
    def test_refuses_what_is_no_offset_id(self, text):
        with pytest.raises(RemoteProtocolError):
            ids.parse_offset_message_id(text)

    def test_unique_ids_differ_and_have_32_digits(self):
        maker = ids.UniqueIds()
        made = {maker.next() for _ in range(1000)}

        assert len(made) == 1000
        assert {len(one) for one in made} == {32}


class TestOddProperties:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b"", {}),
            (b"\x02", {}),
            (b"A\x01b\x02", {"A": "b"}),
            (b"A\x01b", {"A": "b"}),
            (b"A\x01b\x02C\x01d\x02", {"A": "b", "C": "d"}),
            (b"A\x01b\x02nothing\x02C\x01d", {"A": "b", "C": "d"}),
            (b"A\x01\x02\x01b\x02C\x01d\x02", {"C": "d"}),
            (b"A\x01b\x01c\x02", {"A": "b\x01c"}),
            (b"A\x01b\x02A\x01c\x02", {"A": "c"}),
            (b"A\x01b\x02\x02\x02C\x01d\x02\x02", {"A": "b", "C": "d"}),
            (b"A\x01\xff\x02", {"A": "\ufffd"}),
        ],
    )
    def test_are_read_as_rocketmq_reads_them(self, text, expected):
        assert properties.decode(text) == expected
