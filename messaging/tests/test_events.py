from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

import msgspec
import pytest

from messaging.events import Event, UnreadableEvent
from messaging.tests.clockmaker import ClockOrdered


class PriceChanged(Event, frozen=True, kw_only=True):
    topic: ClassVar[str] = "price-events"
    schema_version: ClassVar[int] = 2
    sku: str
    at: datetime

    @property
    def key(self) -> str:
        return f"{self.sku}:{self.at:%Y}"

    @property
    def sharding_key(self) -> str:
        return self.sku


PRICE = PriceChanged(sku="RETRO-CLOCK", at=datetime(2026, 11, 11, tzinfo=UTC))


class TestEvent:
    def test_reads_back_what_it_wrote(self):
        assert PriceChanged.from_body(PRICE.to_message().body) == PRICE

    def test_says_what_it_is_in_tag_and_key_and_what_about_in_the_sharding_key(self):
        message = PRICE.to_message()

        assert (message.topic, message.tag) == ("price-events", "PriceChanged")
        assert (message.keys, message.sharding_key) == (("RETRO-CLOCK:2026", "RETRO-CLOCK"), "RETRO-CLOCK")

    def test_is_about_its_order_unless_it_says_otherwise(self):
        message = ClockOrdered(order_no="A1").to_message()

        assert (message.keys, message.sharding_key) == (("A1",), "A1")

    def test_arrives_at_a_moment(self):
        message = PRICE.to_message(deliver_at=datetime(2026, 11, 12, tzinfo=UTC))

        assert message.deliver_at_ms == 1_794_441_600_000

    def test_ignores_fields_it_does_not_know(self):
        body = b'{"v":1,"order_no":"A1","version":3,"gift_wrap":true}'

        assert ClockOrdered.from_body(body) == ClockOrdered(order_no="A1", version=3)

    def test_carries_its_schema_version(self):
        assert msgspec.json.decode(PRICE.to_message().body)["v"] == 2

    @pytest.mark.parametrize(
        ("body", "complaint"),
        [
            (b'{"v":9,"order_no":"A1"}', "v9: this reader knows up to v1"),
            (b'{"v":1,"version":1}', "order_no"),
            (b'{"v":1,"order_no":7}', "order_no"),
            (b'{"v":"x"}', "v"),
            (b"[]", "object"),
            (b"\xff", "ClockOrdered"),
            (b"", "truncated"),
        ],
    )
    def test_refuses_what_it_cannot_read_and_names_it(self, body, complaint):
        with pytest.raises(UnreadableEvent, match=complaint):
            ClockOrdered.from_body(body)
