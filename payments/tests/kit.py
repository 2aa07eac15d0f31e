"""What the tests of payments share: a payment to pay, the gateway's own pen, and a recording of the queue."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

from common import money
from messaging.testing import RecordedQueue
from mq.client.results import SendResult, TransactionState
from mq.message import Message
from payments.gateway import china
from payments.gateway.alipay import signing
from payments.gateway.contract import Callback, Verdict
from payments.models import Payment
from payments.services import callbacks, opening
from paysim.testing import PaysimProcess

PRICE_CENTS = 4990
BUYER_ID = 7
numbers = itertools.count(1)


def open_payment(*, amount_cents: int = PRICE_CENTS, expires_in: timedelta = timedelta(hours=24)) -> Payment:
    """A confirmed order that waits to be paid."""
    now = datetime.now(UTC)
    order_no = f"RETRO-CLOCK-{next(numbers)}"
    opening.open_payment(
        order_no=order_no,
        order_version=2,
        buyer_id=BUYER_ID,
        amount_cents=amount_cents,
        currency="CNY",
        expires_at=now + expires_in,
        now=now,
    )
    return Payment.objects.get(order_no=order_no)


class Gateway:
    """Signs as Alipay does: tests play it where the simulator would not do such a thing."""

    def __init__(self, paysim: PaysimProcess) -> None:
        self.key = private_key(paysim.data / "private.pem")

    def callback(self, payment: Payment, **changes: str) -> dict[str, str]:
        """A genuine callback for the payment, with some fields changed before it is signed."""
        return signing.signed(self.key, unsigned_callback(payment) | changes)


def unsigned_callback(payment: Payment) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "notify_type": "trade_status_sync",
        "notify_id": f"notice-of-{payment.order_no}",
        "notify_time": china.to_text(now),
        "charset": "utf-8",
        "version": "1.0",
        "app_id": settings.PAYMENT_APP_ID,
        "seller_id": settings.PAYMENT_SELLER_ID,
        "trade_no": f"2026{payment.order_no}",
        "out_trade_no": payment.order_no,
        "subject": "Retro clock",
        "trade_status": "TRADE_SUCCESS",
        "total_amount": money.to_text(payment.amount_cents),
        "trans_currency": "CNY",
        "gmt_payment": china.to_text(now),
    }


def receive(fields: dict[str, str] | bytes, *, now: datetime) -> Verdict:
    """Hand a callback of Alipay's to the shop, without HTTP."""
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return callbacks.receive("alipay", Callback("POST", {}, body), now=now)


@cache
def private_key(path: Path) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


class PaymentQueue(RecordedQueue):
    """Stands where the transaction producer stands, and keeps what became of each half message."""

    def __init__(self) -> None:
        super().__init__()
        #: Set when the first transaction has ended, either way.
        self.has_ended = threading.Event()

    def end(self, half: SendResult, state: TransactionState) -> None:
        super().end(half, state)
        self.has_ended.set()

    def shown_as(self, tag: str) -> list[Message]:
        """The messages of this tag that consumers get to see."""
        return [message for message in self.shown() if message.tag == tag]
