"""Words for buyers, and providers that do not take them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from notifications import channels
from notifications.channels import ChannelDown, Note
from notifications.services import sending
from orders.messages import OrderCompleted, OrderDelivered, OrderPaid, OrderRefunded, OrderShipped

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
PAID = OrderPaid(order_no="M1", version=3, buyer_id=7, total_cents=12_345, payment_no="P1")
EVENTS: list[sending.Told] = [
    PAID,
    OrderShipped(order_no="M1", version=4, buyer_id=7, tracking_no="T1"),
    OrderDelivered(order_no="M1", version=5, buyer_id=7, receipt_due_at=NOON),
    OrderCompleted(order_no="M1", version=6, buyer_id=7, by_buyer=True),
    OrderRefunded(
        order_no="M1",
        version=7,
        buyer_id=7,
        refund_no="R1",
        total_cents=12_345,
        refunded_before_cents=0,
        amount_cents=100,
        lines=(),
        is_whole=False,
    ),
]


@pytest.fixture(autouse=True)
def _outbox(tmp_path: Path, settings: Any) -> None:
    settings.NOTIFICATIONS_OUTBOX = tmp_path / "outbox"


def sent(channel: str) -> list[Note]:
    path = channels.outbox(channel)
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Note) for line in lines]


class TestSend:
    def test_writes_one_line_for_the_buyer(self):
        sending.send("sms", PAID)

        assert sent("sms") == [Note("OrderPaid:M1", 7, "Thank you: your order M1 of 123.45 yuan is paid.")]
        assert sent("push") == []

    def test_has_words_for_every_event(self):
        for event in EVENTS:
            sending.send("push", event)

        texts = [note.text for note in sent("push")]
        assert len(set(texts)) == len(EVENTS)
        assert all("M1" in text for text in texts)

    def test_fails_on_demand(self):
        channels.outbox("sms").parent.mkdir()
        channels.fault_file("sms").write_text('{"is_failing": true}')

        with pytest.raises(ChannelDown):
            sending.send("sms", PAID)
        channels.fault_file("sms").unlink()
        sending.send("sms", PAID)

        assert len(sent("sms")) == 1
