"""WeChat Pay's callback: JSON signed in its headers, what it tells encrypted; sent until the answer is 200 or 204.

Source: pay.weixin.qq.com, "payment notice": 15 s, 15 s, 30 s, 3 m, 10 m, 20 m, 30 m, 30 m, 30 m, 60 m, 3 h, 3 h, 3 h,
6 h, 6 h, which is 24 h 4 m in all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from paysim import clock
from paysim.keys import Keys
from paysim.notifications import Notification
from paysim.outbound import Outbound, Twist
from paysim.wechat import signing

_MINUTE_S, _HOUR_S = 60, 3600
_RETRY_AFTER_S = (
    *(15, 15, 30),
    *(minutes * _MINUTE_S for minutes in (3, 10, 20, 30, 30, 30, 60)),
    *(hours * _HOUR_S for hours in (3, 3, 3, 6, 6)),
)


class WechatCallbacks:
    retry_after_ms = tuple(seconds * 1000 for seconds in _RETRY_AFTER_S)

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def compose(self, notification: Notification, twist: Twist, *, now_ms: int) -> Outbound:
        """Signed and encrypted anew at each attempt; `id` stays the same.

        Raises: LookupError: the merchant has set no APIv3 key.
        """
        told = transaction(
            mchid="1999999999" if twist.wrong_merchant else notification.app_id,
            appid=notification.sub_app_id,
            trade_no=notification.trade_no,
            out_trade_no=notification.out_trade_no,
            state="SUCCESS",
            cents=notification.total_cents + twist.wrong_amount,
            paid_at_ms=notification.paid_at_ms,
        )
        body = msgspec.json.encode(
            {
                "id": notification.notify_id,
                "create_time": clock.to_rfc3339(notification.paid_at_ms),
                "resource_type": "encrypt-resource",
                "event_type": "TRANSACTION.SUCCESS",
                "summary": "支付成功",
                "resource": signing.sealed(
                    self._keys.api_v3(notification.app_id), msgspec.json.encode(told), associated_data="transaction"
                ),
            }
        )
        key = self._keys.wechat_private
        if twist.forged:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        headers = signing.signed_headers(key, self._keys.wechat_serial, body, now_ms=now_ms)
        return Outbound(notification.notify_url, {**headers, "Content-Type": "application/json"}, body)

    def is_accepted(self, status: int, body: bytes) -> bool:
        return status in (200, 204)


def transaction(
    *, mchid: str, appid: str, trade_no: str, out_trade_no: str, state: str, cents: int, paid_at_ms: int | None
) -> dict[str, Any]:
    """A trade in WeChat Pay's words, as callbacks and queries tell it."""
    told: dict[str, Any] = {
        "appid": appid,
        "mchid": mchid,
        "out_trade_no": out_trade_no,
        "trade_type": "MWEB",
        "trade_state": state,
        "trade_state_desc": "支付成功" if paid_at_ms is not None else "未支付",
        "attach": "",
        "amount": {"total": cents, "payer_total": cents, "currency": "CNY", "payer_currency": "CNY"},
    }
    if paid_at_ms is not None:
        told |= {"transaction_id": trade_no, "success_time": clock.to_rfc3339(paid_at_ms), "bank_type": "OTHERS"}
    return told
