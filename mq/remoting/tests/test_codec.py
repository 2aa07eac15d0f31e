"""Frames: bytes made by RocketMQ's own classes, whole and in pieces, and bytes that nobody should send."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc

import pytest

from mq.errors import LocalProtocolError, RemoteProtocolError
from mq.remoting.codec import MAX_FRAME_BYTES, FrameDecoder, encode
from mq.remoting.command import RemotingCommand

ROUTE_JSON = bytes.fromhex("0000007F0000007B") + (
    b'{"code":105,"extFields":{"topic":"T"},"flag":0,"language":"JAVA","opaque":7,'
    b'"serializeTypeCurrentRPC":"JSON","version":479}'
)
ROUTE_BINARY = bytes.fromhex(
    "00000025 01000021 0069 00 01DF 00000007 00000000 00000000 0000000C 0005 746F706963 00000001 54"
)


def json_frame(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", 4 + len(header) + len(body), len(header)) + header + body


def route_request(*, is_binary: bool) -> RemotingCommand:
    command = RemotingCommand.request(105, {"topic": "T"})
    command.opaque, command.language, command.is_binary = 7, "JAVA", is_binary
    return command


#: Every example is a frame and what it says: code, language, version, opaque, flag, remark, fields, body.
EXAMPLES = {
    "java-json": (ROUTE_JSON, (105, "JAVA", 479, 7, 0, None, {"topic": "T"}, b"")),
    "java-binary": (ROUTE_BINARY, (105, "JAVA", 479, 7, 0, None, {"topic": "T"}, b"")),
    "nothing-but-a-code": (json_frame(b'{"code":34}', b"hi"), (34, None, 0, 0, 0, None, {}, b"hi")),
    "empty-object": (json_frame(b"{}"), (0, None, 0, 0, 0, None, {}, b"")),
    "go": (
        json_frame(
            b'{"code":10,"language":"GO","version":317,"opaque":3,"flag":0,"remark":"","extFields":{"topic":"T"}}', b"x"
        ),
        (10, "GO", 317, 3, 0, "", {"topic": "T"}, b"x"),
    ),
    "cpp-with-numbers": (
        json_frame(b'{"code":11,"language":"CPP","extFields":{"queueId":0,"topic":"T","batch":"1"}}\n'),
        (11, "CPP", 0, 0, 0, None, {"queueId": "0", "topic": "T", "batch": "1"}, b""),
    ),
    "node-with-booleans": (
        json_frame(b'{"code":310,"language":"JAVA","version":121,"extFields":{"k":false,"m":true,"i":null}}'),
        (310, "JAVA", 121, 0, 0, None, {"k": "false", "m": "true"}, b""),
    ),
    "unknown-language-and-key": (
        json_frame(b'{"code":1,"language":77,"opaque":-2147483648,"extFields":null,"new":{"a":[1]}}'),
        (1, None, 0, -(2**31), 0, None, {}, b""),
    ),
    "binary-response-with-remark": (
        bytes.fromhex("0000001C 01000018 0003 0C 01DF 00000007 00000001 00000003 6E6F21 00000000"),
        (3, "RUST", 479, 7, 1, "no!", {}, b""),
    ),
    "binary-unknown-language": (
        bytes.fromhex("0000001A 01000015 0022 7F 0000 00000000 00000002 00000000 00000000 61"),
        (34, None, 0, 0, 2, None, {}, b"a"),
    ),
}


def said(command: RemotingCommand) -> tuple[object, ...]:
    return (
        *(command.code, command.language, command.version, command.opaque, command.flag, command.remark),
        *(command.ext_fields, command.body),
    )


@pytest.mark.parametrize(("frame", "expected"), EXAMPLES.values(), ids=EXAMPLES)
class TestDecoding:
    def test_reads_a_whole_frame(self, frame, expected):
        (command,) = FrameDecoder().feed(frame)

        assert said(command) == expected

    def test_reads_it_byte_by_byte(self, frame, expected):
        decoder = FrameDecoder()

        commands = [command for byte in frame for command in decoder.feed(bytes([byte]))]

        assert [said(command) for command in commands] == [expected]
        assert decoder.wanted_bytes == 0

    def test_keeps_trailing_bytes_for_the_next_frame(self, frame, expected):
        decoder = FrameDecoder()

        first = decoder.feed(frame + frame + frame[:5])
        second = decoder.feed(frame[5:])

        assert [said(command) for command in first + second] == [expected] * 3

    def test_waits_quietly_for_every_truncation(self, frame, expected):
        for length in range(len(frame)):
            assert FrameDecoder().feed(frame[:length]) == []


class TestEncoding:
    def test_writes_java_s_json_byte_for_byte(self):
        assert encode(route_request(is_binary=False)) == ROUTE_JSON

    def test_writes_java_s_binary_byte_for_byte(self):
        assert encode(route_request(is_binary=True)) == ROUTE_BINARY

    @pytest.mark.parametrize("is_binary", [False, True])
    def test_what_it_writes_reads_back(self, is_binary):
        command = RemotingCommand.request(310, {"a": "群组", "i": "KEYS\x01k1\x02", "k": "true"}, b"\x00body")
        command.opaque, command.is_binary, command.remark = 2**31 - 1, is_binary, "é"

        (read,) = FrameDecoder().feed(encode(command))

        assert said(read) == said(command)
        assert read.is_binary == is_binary

    @pytest.mark.parametrize("is_binary", [False, True])
    def test_a_decoded_command_can_be_sent_on(self, is_binary):
        (command,) = FrameDecoder().feed(ROUTE_BINARY if is_binary else ROUTE_JSON)

        assert encode(command) == (ROUTE_BINARY if is_binary else ROUTE_JSON)

    def test_a_response_repeats_opaque_and_header_form(self):
        (request,) = FrameDecoder().feed(ROUTE_BINARY)

        response = request.respond(17, "no such topic")

        assert (response.opaque, response.is_binary, response.is_response, response.version) == (7, True, True, 479)

    def test_an_empty_set_of_fields_is_written_as_one(self):
        assert b'"extFields":{}' in encode(route_request(is_binary=False).respond(ext={}))

    def test_refuses_a_code_that_a_binary_header_cannot_hold(self):
        command = RemotingCommand.request(200050)
        command.is_binary = True

        with pytest.raises(LocalProtocolError, match="200050"):
            encode(command)

    def test_refuses_a_frame_above_the_limit(self):
        with pytest.raises(LocalProtocolError, match="exceeds"):
            encode(RemotingCommand.request(10, body=bytes(MAX_FRAME_BYTES)))


MALFORMED = {
    "negative length": bytes.fromhex("FFFFFFFF 00000002 7B7D"),
    "length above 16 MiB": bytes.fromhex("00FFFFFD 00000002 7B7D"),
    "length too short for the header": bytes.fromhex("00000004 00000002 7B7D"),
    "length shorter than its own mark": bytes.fromhex("00000003 00000000 7B7D"),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("16030102 000100 01FC 0303"),
    "unknown header form": bytes.fromhex("00000006 02000002 7B7D"),
    "no header at all": bytes.fromhex("00000004 00000000"),
    "json cut off": json_frame(b'{"code":1'),
    "json of another kind": json_frame(b"[1,2]"),
    "code as text": json_frame(b'{"code":"x"}'),
    "opaque beyond 32 bits": json_frame(b'{"opaque":2147483648}'),
    "json not utf-8": json_frame(b'{"remark":"\xff\xfe"}'),
    "deeply nested json": json_frame(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "binary header cut off": bytes.fromhex("00000010 0100000C 0069 00 01DF 00000007 000000"),
    "binary remark length negative": bytes.fromhex(
        "00000025 01000021 0069 00 01DF 00000007 00000000 FFFFFFFF 0000000C 0005 746F706963 00000001 54"
    ),
    "binary remark length too large": bytes.fromhex(
        "00000025 01000021 0069 00 01DF 00000007 00000000 7FFFFFFF 0000000C 0005 746F706963 00000001 54"
    ),
    "binary fields length too large": bytes.fromhex(
        "00000025 01000021 0069 00 01DF 00000007 00000000 00000000 0000000D 0005 746F706963 00000001 54"
    ),
    "binary fields length negative": bytes.fromhex(
        "00000025 01000021 0069 00 01DF 00000007 00000000 00000000 FFFFFFFF 0005 746F706963 00000001 54"
    ),
}


@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
class TestMalformedFrames:
    def test_are_refused_whole(self, frame):
        with pytest.raises(RemoteProtocolError):
            FrameDecoder().feed(frame)

    def test_are_refused_byte_by_byte(self, frame):
        decoder = FrameDecoder()

        def feed_all() -> None:
            for byte in frame:
                decoder.feed(bytes([byte]))

        with pytest.raises(RemoteProtocolError):
            feed_all()


class TestLimits:
    def test_the_largest_frame_is_read(self):
        frame = json_frame(b"{}", bytes(MAX_FRAME_BYTES - 10))

        (command,) = FrameDecoder().feed(frame)

        assert len(command.body) == MAX_FRAME_BYTES - 10

    def test_an_announced_length_reserves_nothing(self):
        tracemalloc.start()
        try:
            FrameDecoder().feed(struct.pack(">II", MAX_FRAME_BYTES - 4, 2) + b"{}")
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak_bytes < 10_000

    def test_a_large_frame_in_small_chunks_costs_linear_time(self):
        # A megabyte in chunks of 64 bytes: copying what waits at every chunk would move 8 GB.
        frame = json_frame(b'{"code":10}', bytes(1 << 20))
        decoder = FrameDecoder()

        commands = [command for at in range(0, len(frame), 64) for command in decoder.feed(frame[at : at + 64])]

        assert [len(command.body) for command in commands] == [1 << 20]

    def test_tells_whether_a_header_is_complete(self):
        decoder = FrameDecoder()

        decoder.feed(ROUTE_JSON[:60])
        assert (decoder.wanted_bytes, decoder.has_header) == (len(ROUTE_JSON), False)

        decoder.feed(ROUTE_JSON[60:])
        decoder.feed(json_frame(b"{}", b"body")[:-1])
        assert decoder.has_header


class TestFuzz:
    def test_damaged_and_random_bytes_give_commands_or_a_protocol_error(self):
        seed = int(os.environ.get("MILLRACE_SEED", random.randrange(2**32)))
        print(f"seed {seed}")
        chance = random.Random(seed)
        frames = [frame for frame, _ in EXAMPLES.values()]
        outcomes = {"commands": 0, "refused": 0}

        for _ in range(5000):
            data = bytearray(b"".join(chance.choices(frames, k=3)))
            for _ in range(chance.randrange(4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            if chance.random() < 0.2:
                data = bytearray(chance.randbytes(chance.randrange(100)))
            cut = chance.randrange(len(data) + 1)
            decoder = FrameDecoder()
            try:
                for command in decoder.feed(bytes(data[:cut])) + decoder.feed(bytes(data[cut:])):
                    assert isinstance(command.ext_fields, dict)
                    outcomes["commands"] += 1
            except RemoteProtocolError:
                outcomes["refused"] += 1

        assert min(outcomes.values()) > 500, outcomes
