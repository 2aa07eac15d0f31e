"""WeChat Pay's own pen for tests: callbacks as it signs and seals them, with anything changed on the way."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from payments.gateway import china, keys, rsa
from payments.gateway.contract import Callback, Verdict
from payments.gateway.wechat.signing import SCHEME
from payments.models import Payment
from payments.services import callbacks
from payments.tests import kit
from paysim.testing import PaysimProcess

Tree = dict[str, Any]


class WechatPen:
    """Signs as WeChat Pay does: tests play it where the simulator would not do such a thing."""

    def __init__(self, paysim: PaysimProcess) -> None:
        self.key = kit.private_key(paysim.data / "wechat-private.pem")
        certificate = x509.load_pem_x509_certificate((paysim.data / "wechat-certificate.pem").read_bytes())
        self.serial = f"{certificate.serial_number:040X}"

    def callback(
        self,
        payment: Payment,
        *,
        trade: Tree | None = None,
        event: Tree | None = None,
        resource: Tree | None = None,
        **signing: Any,
    ) -> Callback:
        """A genuine callback for the payment, with parts of the trade, its seal or the event changed before signing."""
        sealed = seal(json.dumps(trade_of(payment) | (trade or {})).encode()) | (resource or {})
        return self.signed(json.dumps(event_of(payment, sealed) | (event or {})).encode(), **signing)

    def signed(
        self,
        body: bytes,
        *,
        at: datetime | None = None,
        key: RSAPrivateKey | None = None,
        headers: Mapping[str, str] | None = None,
        text: bytes | None = None,
    ) -> Callback:
        timestamp, nonce = str(int((at or datetime.now(UTC)).timestamp())), secrets.token_hex(16)
        text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n" if text is None else text
        all_headers = {
            "wechatpay-timestamp": timestamp,
            "wechatpay-nonce": nonce,
            "wechatpay-serial": self.serial,
            "wechatpay-signature-type": SCHEME,
            "wechatpay-signature": rsa.sign(key or self.key, text),
        }
        return Callback("POST", all_headers | dict(headers or {}), body)


def trade_of(payment: Payment) -> Tree:
    return {
        "appid": settings.WECHAT_APP_ID,
        "mchid": settings.WECHAT_MCHID,
        "out_trade_no": payment.order_no,
        "transaction_id": f"42{payment.order_no}",
        "trade_type": "MWEB",
        "trade_state": "SUCCESS",
        "success_time": china.to_rfc3339(datetime.now(UTC)),
        "amount": {"total": payment.amount_cents, "payer_total": payment.amount_cents, "currency": "CNY"},
    }


def event_of(payment: Payment, resource: Tree) -> Tree:
    return {
        "id": f"notice-of-{payment.order_no}",
        "create_time": china.to_rfc3339(datetime.now(UTC)),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": resource,
    }


def seal(plain: bytes, *, key: bytes | None = None, nonce: str = "0123456789ab", data: str = "transaction") -> Tree:
    box = AESGCM(key or keys.api_v3()).encrypt(nonce.encode(), plain, data.encode())
    return {
        "original_type": "transaction",
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(box).decode(),
        "associated_data": data,
        "nonce": nonce,
    }


def receive(callback: Callback, *, now: datetime | None = None) -> Verdict:
    """Hand a callback to the shop, without HTTP."""
    return callbacks.receive("wechat", callback, now=now or datetime.now(UTC))
