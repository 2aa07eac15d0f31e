"""Frames: bytes made by RocketMQ's own classes, whole and in pieces, and bytes that nobody should send."""

from __future__ import annotations

import os
import random
import struct
import tracemalloc
from pathlib import Path

import pytest

from mq.errors import LocalProtocolError, RemoteProtocolError
from mq.remoting.codec import MAX_FRAME_BYTES, FrameDecoder, encode
from mq.remoting.command import RemotingCommand
from mq.remoting.tests import golden

SCRIPTS = Path(__file__).parent / "scripts"
FRAMES, MALFORMED = SCRIPTS / "frames.txt", SCRIPTS / "malformed.txt"
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


def said(command: RemotingCommand) -> tuple[object, ...]:
    return (
        *(command.code, command.language, command.version, command.opaque, command.flag, command.remark),
        *(command.ext_fields, command.body),
    )


@pytest.mark.parametrize("feed", [golden.whole, golden.byte_by_byte, golden.with_trailing_bytes])
def test_frames_say_what_the_script_says(feed: golden.Feed):
    expected, found = golden.run(FRAMES, feed)

    assert found == expected


@pytest.mark.parametrize("feed", [golden.whole, golden.byte_by_byte])
def test_malformed_frames_are_refused(feed: golden.Feed):
    """In words that may depend on how much is there when it shows."""
    expected, found = golden.run(MALFORMED, feed)

    if feed is golden.whole:
        assert found == expected
    frames = golden.frames(MALFORMED)
    assert len([line for line in found.splitlines() if line.startswith("refused: ")]) == len(frames)


def test_a_frame_cut_anywhere_waits_quietly_for_the_rest():
    for frame in golden.frames(FRAMES):
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


class TestLimits:
    def test_deeply_nested_json_is_refused(self):
        with pytest.raises(RemoteProtocolError):
            FrameDecoder().feed(json_frame(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))

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
        frames = golden.frames(FRAMES)
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
