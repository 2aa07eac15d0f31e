"""Forged callbacks in WeChat Pay's dialect: each class of forgery is refused, and all refusals read the same."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.test import Client

from common.testing import seeded
from payments.models import Alarm, CallbackLog, Capture, Payment
from payments.tests import kit, wechat
from payments.tests.wechat import WechatPen, receive

ADDRESS = "/api/payments/callbacks/wechat"


def post(callback, method: str = "post"):
    return Client().generic(
        method.upper(), ADDRESS, callback.body, content_type="application/json", headers=dict(callback.headers)
    )


def with_header(**changes: str):
    """A header changed after signing; underscores stand for dashes."""
    headers = {name.replace("_", "-"): value for name, value in changes.items()}
    return lambda payment, pen: pen.callback(payment, headers=headers)


def without_header(name: str):
    def forge(payment: Payment, pen: WechatPen):
        genuine = pen.callback(payment)
        return replace(genuine, headers={key: value for key, value in genuine.headers.items() if key != name})

    return forge


def trade(**changes: Any):
    """Rightly signed and sealed, but it tells something else."""
    return lambda payment, pen: pen.callback(payment, trade=changes)


def amount(**changes: Any):
    def forge(payment: Payment, pen: WechatPen):
        return pen.callback(payment, trade={"amount": {"total": payment.amount_cents, "currency": "CNY"} | changes})

    return forge


def resource(**changes: Any):
    return lambda payment, pen: pen.callback(payment, resource=changes)


def sealed(**how: Any):
    """Sealed otherwise than with our key and the right nonce."""
    return lambda payment, pen: pen.callback(
        payment, resource=wechat.seal(json.dumps(wechat.trade_of(payment)).encode(), **how)
    )


def event(**changes: Any):
    return lambda payment, pen: pen.callback(payment, event=changes)


def body(change):
    """The body changed after signing."""

    def forge(payment: Payment, pen: WechatPen):
        genuine = pen.callback(payment)
        return replace(genuine, body=change(genuine.body))

    return forge


def signed_body(change):
    """The body changed, and then signed: only the gateway itself could do that, or who has its key."""
    return lambda payment, pen: pen.signed(change(pen.callback(payment).body))


def inside(change):
    """The sealed text changed, then rightly sealed and signed."""

    def forge(payment: Payment, pen: WechatPen):
        return pen.callback(payment, resource=wechat.seal(change(json.dumps(wechat.trade_of(payment)).encode())))

    return forge


def signature_of_another(payment: Payment, pen: WechatPen):
    other = pen.callback(payment, trade={"amount": {"total": 1, "currency": "CNY"}})
    genuine = pen.callback(payment)
    return replace(genuine, headers=other.headers)


def by_another_key(payment: Payment, pen: WechatPen):
    return pen.callback(payment, key=kit.private_key(settings.PAYMENT_PRIVATE_KEY))


def signed_with(algorithm: hashes.HashAlgorithm):
    def forge(payment: Payment, pen: WechatPen):
        genuine = pen.callback(payment)
        stamp, nonce = genuine.headers["wechatpay-timestamp"], genuine.headers["wechatpay-nonce"]
        text = f"{stamp}\n{nonce}\n".encode() + genuine.body + b"\n"
        signature = base64.b64encode(pen.key.sign(text, padding.PKCS1v15(), algorithm)).decode()
        return replace(genuine, headers={**genuine.headers, "wechatpay-signature": signature})

    return forge


def over_a_path(payment: Payment, pen: WechatPen):
    """Signed as a request of a merchant is, not as a callback."""
    genuine = pen.callback(payment)
    return pen.signed(genuine.body, text=b"POST\n/v3/callback\n" + genuine.body + b"\n")


def by_an_expired_certificate(payment: Payment, pen: WechatPen):
    return _by_certificate(payment, pen, begin=-timedelta(days=30), end=-timedelta(days=1))


def by_a_certificate_of_tomorrow(payment: Payment, pen: WechatPen):
    return _by_certificate(payment, pen, begin=timedelta(days=1), end=timedelta(days=30))


def _by_certificate(payment: Payment, pen: WechatPen, *, begin: timedelta, end: timedelta):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paysim")])
    builder = x509.CertificateBuilder(name, name, pen.key.public_key(), x509.random_serial_number())
    now = datetime.now(UTC)
    certificate = builder.not_valid_before(now + begin).not_valid_after(now + end).sign(pen.key, hashes.SHA256())
    serial = f"{certificate.serial_number:040X}"
    (settings.PAYMENT_KEYS / f"wechatpay-{serial}.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
    )
    return pen.callback(payment, headers={"wechatpay-serial": serial})


def aged(delta: timedelta):
    return lambda payment, pen: pen.callback(payment, at=datetime.now(UTC) + delta)


def cut_tag(payment: Payment, pen: WechatPen):
    box = base64.b64decode(wechat.seal(json.dumps(wechat.trade_of(payment)).encode())["ciphertext"])
    return pen.callback(payment, resource={"ciphertext": base64.b64encode(box[:-16]).decode()})


def sealed_text_of_another_nonce(payment: Payment, pen: WechatPen):
    """The ciphertext of one message under the nonce of another."""
    return pen.callback(payment, resource={"nonce": "ba9876543210"})


FORGERIES = {
    # the signature
    "no signature": (without_header("wechatpay-signature"), "BAD_SIGNATURE"),
    "no timestamp": (without_header("wechatpay-timestamp"), "BAD_SIGNATURE"),
    "no nonce": (without_header("wechatpay-nonce"), "BAD_SIGNATURE"),
    "no serial": (without_header("wechatpay-serial"), "BAD_SIGNATURE"),
    "an empty signature": (with_header(wechatpay_signature=""), "BAD_SIGNATURE"),
    "junk for a signature": (with_header(wechatpay_signature="!!not base64!!"), "BAD_SIGNATURE"),
    "a probe of the gateway itself": (with_header(wechatpay_signature="WECHATPAY/SIGNTEST/AAAA"), "BAD_SIGNATURE"),
    "a short signature": (with_header(wechatpay_signature="AAAA"), "BAD_SIGNATURE"),
    "the signature of another body": (signature_of_another, "BAD_SIGNATURE"),
    "another key": (by_another_key, "BAD_SIGNATURE"),
    "SHA-1 instead": (signed_with(hashes.SHA1()), "BAD_SIGNATURE"),
    "MD5 instead": (signed_with(hashes.MD5()), "BAD_SIGNATURE"),
    "SHA-512 instead": (signed_with(hashes.SHA512()), "BAD_SIGNATURE"),
    "the type none": (with_header(wechatpay_signature_type="none"), "BAD_SIGNATURE"),
    "the type of another scheme": (with_header(wechatpay_signature_type="WECHATPAY2-SM2-WITH-SM3"), "BAD_SIGNATURE"),
    "signed as a request": (over_a_path, "BAD_SIGNATURE"),
    # the key
    "an unknown serial": (with_header(wechatpay_serial="A" * 40), "BAD_SIGNATURE"),
    "a serial that is a path": (with_header(wechatpay_serial="../../paysim"), "BAD_SIGNATURE"),
    "an expired certificate": (by_an_expired_certificate, "BAD_SIGNATURE"),
    "a certificate of tomorrow": (by_a_certificate_of_tomorrow, "BAD_SIGNATURE"),
    # the time
    "another timestamp": (with_header(wechatpay_timestamp="1700000000"), "BAD_SIGNATURE"),
    "a timestamp with a sign": (with_header(wechatpay_timestamp="+170000000"), "BAD_SIGNATURE"),
    "a nonce with a line in it": (with_header(wechatpay_nonce="a b"), "BAD_SIGNATURE"),
    "a recording of last week": (aged(timedelta(days=-7)), "STALE"),
    "a message from the future": (aged(timedelta(hours=1)), "STALE"),
    # the body after signing
    "a space more": (body(lambda text: text + b" "), "BAD_SIGNATURE"),
    "another encoding of the same": (
        body(lambda text: json.dumps(json.loads(text), indent=1).encode()),
        "BAD_SIGNATURE",
    ),
    "no body": (body(lambda text: b""), "BAD_SIGNATURE"),
    "ten megabytes": (body(lambda text: text + b" " * 10_000_000), "TOO_LARGE"),
    "a bomb in gzip": (body(lambda text: b"\x1f\x8b\x08\x00" + b"\x00" * 4000), "BAD_SIGNATURE"),
    # what only the gateway's own pen could write
    "a name twice, signed": (signed_body(lambda text: text[:-1] + b', "id": "another"}'), "MALFORMED"),
    "a name twice inside, signed": (inside(lambda text: text[:-1] + b', "mchid": "1"}'), "MALFORMED"),
    "deep nesting, signed": (signed_body(lambda text: b"[" * 4000), "MALFORMED"),
    "a list, signed": (signed_body(lambda text: b"[" + text + b"]"), "MALFORMED"),
    "no JSON, signed": (signed_body(lambda text: b"total=4990"), "MALFORMED"),
    "no UTF-8, signed": (signed_body(lambda text: b"\xff\xfe" + text), "MALFORMED"),
    "no resource, signed": (event(resource=None), "MALFORMED"),
    # the seal
    "a tag that is cut off": (cut_tag, "UNDECIPHERABLE"),
    "other associated data": (sealed(data="refund"), "MALFORMED"),
    "associated data that was exchanged": (resource(associated_data="refund"), "MALFORMED"),
    "another kind of thing": (resource(original_type="refund"), "MALFORMED"),
    "the nonce of another message": (sealed_text_of_another_nonce, "UNDECIPHERABLE"),
    "a nonce of the wrong length": (sealed(nonce="0123456789abcdef"), "UNDECIPHERABLE"),
    "another key's seal": (sealed(key=b"another key of the right length!"), "UNDECIPHERABLE"),
    "a key of another length": (sealed(key=b"sixteen bytes ok"), "UNDECIPHERABLE"),
    "another algorithm": (resource(algorithm="AEAD_CHACHA20_POLY1305"), "MALFORMED"),
    "no algorithm": (resource(algorithm="none"), "MALFORMED"),
    "junk for a box": (resource(ciphertext="!!"), "UNDECIPHERABLE"),
    "an empty box": (resource(ciphertext=""), "UNDECIPHERABLE"),
    # what it tells
    "another merchant": (trade(mchid="1999999999"), "WRONG_MERCHANT"),
    "another merchant's app": (trade(appid="wx9999999999999999"), "WRONG_MERCHANT"),
    "an order that is not ours": (trade(out_trade_no="NO-SUCH-ORDER"), "UNKNOWN_ORDER"),
    "one cent less": (amount(total=kit.PRICE_CENTS - 1), "WRONG_AMOUNT"),
    "one cent more": (amount(total=kit.PRICE_CENTS + 1), "WRONG_AMOUNT"),
    "nothing": (amount(total=0), "WRONG_AMOUNT"),
    "less than nothing": (amount(total=-kit.PRICE_CENTS), "WRONG_AMOUNT"),
    "dollars": (amount(currency="USD"), "WRONG_CURRENCY"),
    "an amount in floating point": (amount(total=4990.0), "MALFORMED"),
    "an amount as a text": (amount(total="4990"), "MALFORMED"),
    "an amount that is true": (amount(total=True), "MALFORMED"),
    "an amount with an exponent": (inside(lambda text: text.replace(b'"total": 4990', b'"total": 499e1')), "MALFORMED"),
    "an amount that is no number": (inside(lambda text: text.replace(b'"total": 4990', b'"total": NaN')), "MALFORMED"),
    "no amount": (trade(amount=None), "MALFORMED"),
    "a date that is none": (trade(success_time="yesterday"), "MALFORMED"),
    "a date without a zone": (trade(success_time="2026-11-11T00:00:00"), "MALFORMED"),
}


@pytest.mark.django_db(databases=["payments"])
class TestForgedCallback:
    @pytest.mark.parametrize("name", FORGERIES)
    def test_is_refused_and_recorded_and_learns_nothing(self, wechat, queue, name):
        forge, verdict = FORGERIES[name]
        payment = kit.open_payment()

        response = post(forge(payment, wechat))

        assert (response.status_code, response.json()) == (400, {"code": "FAIL", "message": "失败"})
        assert CallbackLog.objects.get().verdict == verdict
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.PENDING
        assert not Capture.objects.exists()
        assert not queue.halves

    def test_of_another_amount_raises_an_alarm(self, wechat, queue):
        payment = kit.open_payment()

        for _ in range(3):
            post(wechat.callback(payment, trade={"amount": {"total": 1, "currency": "CNY"}}))

        assert Alarm.objects.get().kind == Alarm.Kind.PAID_AMOUNT_DIFFERS

    def test_cannot_use_the_trade_of_another_order(self, wechat, queue):
        paid, victim = kit.open_payment(), kit.open_payment()
        post(wechat.callback(paid))

        response = post(wechat.callback(victim, trade={"transaction_id": f"42{paid.order_no}"}))

        assert response.status_code == 400
        assert CallbackLog.objects.get(order_no=victim.order_no).verdict == "TRADE_OF_ANOTHER_ORDER"

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_cannot_come_by_another_method(self, wechat, queue, method):
        response = post(wechat.callback(kit.open_payment()), method)

        assert (response.status_code, response.json()) == (400, {"code": "FAIL", "message": "失败"})
        assert CallbackLog.objects.get().verdict == "NOT_POST"

    def test_of_the_other_dialect_is_refused_at_this_address(self, gateway, queue):
        response = Client().post(ADDRESS, data=gateway.callback(kit.open_payment()))

        assert response.status_code == 400
        assert not Capture.objects.exists()

    def test_is_refused_with_any_bit_changed(self, wechat, queue):
        dice: random.Random = seeded()
        payment = kit.open_payment()
        genuine = wechat.callback(payment)

        for _ in range(100):
            forged = bytearray(genuine.body)
            forged[dice.randrange(len(forged))] ^= 1 << dice.randrange(8)
            assert not receive(replace(genuine, body=bytes(forged))).is_success

        assert not Capture.objects.exists()


@pytest.mark.django_db(databases=["payments"])
class TestCallback:
    def test_captures_the_payment_and_is_answered_without_a_word(self, wechat, queue):
        payment = kit.open_payment()

        response = post(wechat.callback(payment))

        assert (response.status_code, response.content) == (204, b"")
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.SUCCEEDED
        assert len(queue.shown_as("PaymentSucceeded")) == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"event": {"event_type": "REFUND.SUCCESS"}},
            {"event": {"event_type": "REFUND.ABNORMAL"}},
            {"trade": {"trade_state": "NOTPAY"}},
            {"trade": {"trade_state": "CLOSED"}},
            {"trade": {"trade_state": "REFUND"}},
        ],
    )
    def test_ignores_other_news_of_the_gateway(self, wechat, queue, changes):
        payment = kit.open_payment()

        assert post(wechat.callback(payment, **changes)).status_code == 204
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.PENDING
        assert CallbackLog.objects.get().verdict == "IGNORED"

    def test_answers_success_to_a_replay_days_later(self, wechat, queue):
        payment = kit.open_payment()
        callback = wechat.callback(payment)
        post(callback)

        assert receive(callback, now=datetime.now(UTC) + timedelta(days=2)) == "REPLAYED"
        assert len(queue.halves) == 1
