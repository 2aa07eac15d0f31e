"""Finding the properties in a record, whatever lies before them."""

import pytest

from mq.message import Host, properties, record
from mq.message.record import RecordFields

V4, V6 = Host("10.1.2.3", 1), Host("fe80::1", 1)


@pytest.mark.parametrize("topic", ["t", "%RETRY%" + "g" * 200])
@pytest.mark.parametrize("born_host", [V4, V6])
@pytest.mark.parametrize("store_host", [V4, V6])
@pytest.mark.parametrize("text", [b"", properties.encode({"TAGS": "paid", "price": "12"})])
def test_properties_text_is_what_was_stored(topic, born_host, store_host, text):
    fields = RecordFields(topic, 0, b"body", text, 0, 0, 1, born_host)
    data = record.encode(fields, queue_offset=1, commit_log_offset=2, store_timestamp_ms=3, store_host=store_host)

    assert record.properties_text(data) == text
