"""Either dialect's genuine callback for a payment, as a function that delivers it to the shop, without HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from common import money
from payments.gateway import channels
from payments.gateway.contract import Verdict
from payments.models import Payment
from payments.tests import kit, wechat

Deliver = Callable[..., Verdict]


class Pens:
    def __init__(self, alipay: kit.Gateway, wechat_pen: wechat.WechatPen) -> None:
        self._alipay, self._wechat = alipay, wechat_pen

    def told(self, channel: str, payment: Payment, *, trade_no: str = "2026-1", cents: int | None = None) -> Deliver:
        """Signed now; delivered now, or at another moment, as often as it is called."""
        cents = payment.amount_cents if cents is None else cents
        signed_at = datetime.now(UTC)
        if channel == channels.ALIPAY:
            fields = self._alipay.callback(payment, trade_no=trade_no, total_amount=money.to_text(cents))
            return lambda now=signed_at: kit.receive(fields, now=now)
        changes = {"transaction_id": trade_no, "amount": {"total": cents, "currency": "CNY"}}
        callback = self._wechat.callback(payment, trade=changes)
        return lambda now=signed_at: wechat.receive(callback, now=now)
