"""Prepared answers say exactly what the general encoder says."""

import random

import pytest

from mq.broker.send_response import SendResponses
from mq.message import Host, ids
from mq.remoting.codec import FrameDecoder
from mq.remoting.command import RemotingCommand

STORE_HOST = Host("127.0.0.1", 10911)


def decode(frame: bytes) -> RemotingCommand:
    [command] = FrameDecoder().feed(frame)
    return command


@pytest.mark.parametrize("form", ["json", "binary"])
class TestSendResponses:
    def test_carry_every_field_a_java_client_reads(self, form):
        responses = SendResponses(STORE_HOST, "DefaultRegion", is_traced=True)

        command = decode(getattr(responses, form)(7, 3, 12, 1234, "7F000001ABCD"))

        assert (command.code, command.opaque, command.is_response, command.is_oneway) == (0, 7, True, False)
        assert command.version == 479
        assert command.is_binary == (form == "binary")
        assert command.ext_fields == {
            "MSG_REGION": "DefaultRegion",
            "TRACE_ON": "true",
            "msgId": "7F00000100002A9F00000000000004D2",
            "queueId": "3",
            "queueOffset": "12",
            "transactionId": "7F000001ABCD",
        }

    def test_survive_percent_signs_in_lengths_and_names(self, form):
        # 37 is "%": in the region's length, in the region, and in the length of the unique id.
        responses = SendResponses(STORE_HOST, "R" * 36 + "-", is_traced=False)

        command = decode(getattr(responses, form)(0x25252525, 37, 37, 37, "A" * 37))

        assert command.opaque == 0x25252525
        assert command.ext_fields["transactionId"] == "A" * 37
        assert command.ext_fields["MSG_REGION"] == "R" * 36 + "-"

    def test_hold_any_numbers(self, form):
        responses = SendResponses(STORE_HOST, "DefaultRegion", is_traced=True)
        numbers = random.Random(20)

        for _ in range(200):
            opaque = numbers.randrange(-(2**31), 2**31)
            queue_id = numbers.randrange(10 ** numbers.randrange(1, 5))
            queue_offset = numbers.randrange(10 ** numbers.randrange(1, 18))
            commit_log_offset = numbers.randrange(2**62)
            command = decode(getattr(responses, form)(opaque, queue_id, queue_offset, commit_log_offset, "U1"))

            assert command.opaque == opaque
            assert command.ext_fields["queueId"] == str(queue_id)
            assert command.ext_fields["queueOffset"] == str(queue_offset)
            assert command.ext_fields["msgId"] == ids.offset_message_id(STORE_HOST, commit_log_offset)
