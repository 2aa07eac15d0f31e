"""Alipay's callback: a signed form, sent until the whole body of the answer is the word `success`.

Source: opendocs.alipay.com, "asynchronous notification": 4 m, 10 m, 10 m, 1 h, 2 h, 6 h, 15 h after the first attempt.
"""

from __future__ import annotations

from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import rsa

from paysim import clock, money
from paysim.alipay.signing import sign_fields
from paysim.notifications import Notification
from paysim.outbound import Outbound, Twist

_MINUTE_MS = 60_000
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


class AlipayCallbacks:
    retry_after_ms = tuple(minutes * _MINUTE_MS for minutes in (4, 10, 10, 60, 120, 360, 900))

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def compose(self, notification: Notification, twist: Twist, *, now_ms: int) -> Outbound:
        """Signed anew at each attempt (`notify_time` is its own); `notify_id` stays the same."""
        fields = _fields(notification, now_ms)
        if twist.wrong_amount:
            fields["total_amount"] = money.to_text(notification.total_cents + 1)
        if twist.wrong_merchant:
            fields["seller_id"] = "2088999999999999"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if twist.forged else self._key
        return Outbound(notification.notify_url, _HEADERS, urlencode(sign_fields(key, fields)).encode())

    def is_accepted(self, status: int, body: bytes) -> bool:
        """Exactly seven letters, whatever the status says."""
        return body == b"success"


def _fields(notification: Notification, now_ms: int) -> dict[str, str]:
    return {
        "notify_type": "trade_status_sync",
        "notify_id": notification.notify_id,
        "notify_time": clock.to_text(now_ms),
        "charset": "utf-8",
        "version": "1.0",
        "app_id": notification.app_id,
        "seller_id": seller_id(notification.app_id),
        "trade_no": notification.trade_no,
        "out_trade_no": notification.out_trade_no,
        "subject": notification.subject,
        "trade_status": "TRADE_SUCCESS",
        "total_amount": money.to_text(notification.total_cents),
        "trans_currency": "CNY",
        "gmt_payment": clock.to_text(notification.paid_at_ms),
    }


def seller_id(app_id: str) -> str:
    """The account that receives the money of an application; each application has one here."""
    return "2088" + app_id[-12:].rjust(12, "0")
