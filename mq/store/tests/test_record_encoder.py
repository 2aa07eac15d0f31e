"""The fast encoder writes what the readable one writes."""

from __future__ import annotations

import random

import pytest

from mq.errors import MessageTooLarge
from mq.message import Host, record
from mq.message.record import RecordFields
from mq.store.record_encoder import RecordEncoder

HOSTS = (Host("127.0.0.1", 10911), Host("10.1.2.3", 65535), Host("::1", 10911), Host("2001:db8::7", 1))


class TestRecordEncoder:
    @pytest.mark.parametrize("store_host", HOSTS, ids=str)
    def test_agrees_with_the_readable_form_byte_for_byte(self, store_host: Host) -> None:
        seed = random.randrange(1 << 32)
        print("seed", seed)
        seeded = random.Random(seed)
        encoder = RecordEncoder(store_host)
        for _ in range(300):
            fields = RecordFields(
                topic="t" * seeded.choice([1, 30, 126, 127, 128, 200, 255]),
                queue_id=seeded.randrange(1000),
                body=seeded.randbytes(seeded.choice([0, 1, 500, 5000])),
                properties_text=seeded.choice([b"", b"TAGS\x01a\x02", b"x" * 32_767]),
                sys_flag=seeded.randrange(0x800),
                flag=seeded.randrange(-(1 << 31), 1 << 31),
                born_timestamp_ms=seeded.randrange(1 << 42),
                born_host=seeded.choice(HOSTS),
                reconsume_times=seeded.randrange(17),
                prepared_transaction_offset=seeded.randrange(1 << 50),
            )
            queue_offset, commit_log_offset, now_ms = (seeded.randrange(1 << 50) for _ in range(3))

            fast = encoder.encode(fields, queue_offset, commit_log_offset, now_ms)

            assert encoder.size_of(fields) == len(fast)
            assert fast == record.encode(
                fields,
                queue_offset=queue_offset,
                commit_log_offset=commit_log_offset,
                store_timestamp_ms=now_ms,
                store_host=store_host,
            )

    @pytest.mark.parametrize(("topic_bytes", "text_bytes"), [(256, 0), (10, 32_768)])
    def test_refuses_what_the_format_cannot_hold(self, topic_bytes: int, text_bytes: int) -> None:
        fields = RecordFields("t" * topic_bytes, 0, b"", b"x" * text_bytes, 0, 0, 0, HOSTS[0])

        with pytest.raises(MessageTooLarge):
            RecordEncoder(HOSTS[0]).encode(fields, 0, 0, 0)
        with pytest.raises(MessageTooLarge):
            RecordEncoder(HOSTS[0]).size_of(fields)
