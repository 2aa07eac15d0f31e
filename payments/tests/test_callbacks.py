from __future__ import annotations

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.db import connections
from django.test import Client

from mq.client.results import TransactionState
from mq.errors import RequestTimeout
from payments.gateway.alipay import signing
from payments.gateway.china import to_text
from payments.models import CallbackLog, Capture, Payment, Refund, RefusedCallbacks
from payments.services import callbacks, capturing, closing
from payments.tests import kit

ADDRESS = "/api/payments/callbacks/alipay"
FORM = "application/x-www-form-urlencoded"


def post(body: str | bytes | dict[str, str], **headers: str):
    data = urlencode(body) if isinstance(body, dict) else body
    return Client().post(ADDRESS, data=data, content_type=FORM, headers=headers)


def verdicts(payment: Payment) -> list[str]:
    log = CallbackLog.objects.filter(order_no=payment.order_no).order_by("id")
    return list(log.values_list("verdict", flat=True))


def close(payment: Payment) -> None:
    now = datetime.now(UTC)
    answer = closing.ask_gateway(order_no=payment.order_no, version=3, now=now)
    closing.settle(order_no=payment.order_no, version=3, attempt=1, answer=answer, now=now)


@pytest.mark.django_db(databases=["payments"])
class TestCallback:
    def test_captures_the_payment_and_tells_the_shop(self, gateway, queue):
        payment = kit.open_payment()

        response = post(gateway.callback(payment))

        assert (response.status_code, response.content) == (200, b"success")
        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
        (message,) = queue.shown_as("PaymentSucceeded")
        assert message.sharding_key == payment.order_no
        assert verdicts(payment) == ["ACCEPTED"]

    def test_counts_while_the_trade_is_being_closed(self, gateway, queue):
        payment = kit.open_payment()
        closing.ask_gateway(order_no=payment.order_no, version=3, now=datetime.now(UTC))

        assert post(gateway.callback(payment)).content == b"success"
        assert len(queue.shown_as("PaymentSucceeded")) == 1

    def test_answers_success_to_a_replay_even_days_later(self, gateway, queue):
        payment = kit.open_payment()
        fields = gateway.callback(payment)
        post(fields)

        verdict = kit.receive(fields, now=datetime.now(UTC) + timedelta(days=2))

        assert verdict == "REPLAYED"
        assert Capture.objects.filter(payment=payment).count() == 1
        assert len(queue.halves) == 1

    def test_gives_money_back_that_comes_after_closing(self, gateway, queue):
        payment = kit.open_payment()
        close(payment)

        assert post(gateway.callback(payment)).content == b"success"
        assert post(gateway.callback(payment)).content == b"success"

        payment.refresh_from_db()
        assert payment.status == Payment.Status.CLOSED
        refund = Refund.objects.get(capture__payment=payment)
        assert (refund.amount_cents, refund.status) == (kit.PRICE_CENTS, Refund.Status.PENDING)
        (message,) = queue.shown_as("ExecuteRefund")
        assert refund.refund_no.encode() in message.body
        assert not queue.shown_as("PaymentSucceeded")
        assert verdicts(payment) == ["LATE_PAYMENT", "REPLAYED"]

    def test_gives_back_what_was_paid_a_second_time(self, gateway, queue):
        payment = kit.open_payment()
        post(gateway.callback(payment))

        assert post(gateway.callback(payment, trade_no="20260002", notify_id="another")).content == b"success"

        refund = Refund.objects.get(capture__payment=payment)
        assert (refund.capture.trade_no, refund.capture.is_for_order) == ("20260002", False)
        assert len(queue.shown_as("PaymentSucceeded")) == len(queue.shown_as("ExecuteRefund")) == 1
        assert verdicts(payment) == ["ACCEPTED", "SECOND_PAYMENT"]

    def test_refuses_the_id_of_an_earlier_notice_for_another_trade(self, gateway, queue):
        """Guard: the comparison of trade numbers in `callbacks._record`."""
        payment = kit.open_payment()
        post(gateway.callback(payment))

        assert post(gateway.callback(payment, trade_no="20260002")).content == b"failure"
        assert verdicts(payment) == ["ACCEPTED", "NOTICE_CHANGED"]

    def test_records_nothing_when_the_queue_does_not_take_the_message(self, gateway, queue):
        payment = kit.open_payment()
        queue.failure = RequestTimeout("no broker")

        response = post(gateway.callback(payment))
        queue.failure = None

        assert (response.status_code, response.content) == (503, b"failure")
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.PENDING
        assert post(gateway.callback(payment)).content == b"success"

    def test_drops_the_half_message_when_the_payment_changed_meanwhile(self, gateway, queue, monkeypatch):
        payment = kit.open_payment()
        foreseen = capturing.foresee
        rounds: list[int] = []

        def and_then_it_closes(payment, trade):
            event = foreseen(payment, trade)
            if not rounds:
                rounds.append(1)
                close(payment)
            return event

        monkeypatch.setattr(capturing, "foresee", and_then_it_closes)

        assert post(gateway.callback(payment)).content == b"success"
        states = [(message.tag, state) for message, state in queue.halves]
        assert states == [
            ("PaymentSucceeded", TransactionState.ROLLBACK),
            ("ExecuteRefund", TransactionState.COMMIT),
        ]

    @pytest.mark.parametrize(
        "changes",
        [
            {"trade_status": "WAIT_BUYER_PAY"},
            {"trade_status": "TRADE_CLOSED"},
            {"refund_fee": "10.00"},
            {"out_biz_no": "R1"},
        ],
    )
    def test_ignores_other_news_of_the_gateway(self, gateway, queue, changes):
        payment = kit.open_payment()

        assert post(gateway.callback(payment, **changes)).content == b"success"
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.PENDING
        assert verdicts(payment) == ["IGNORED"]


def by_another_key(payment, gateway):
    return signing.signed(
        rsa.generate_private_key(public_exponent=65537, key_size=2048), kit.unsigned_callback(payment)
    )


def with_signature_of_another_body(payment, gateway):
    other = gateway.callback(payment, total_amount="0.01")
    return gateway.callback(payment) | {"sign": other["sign"]}


def signed_with(algorithm):
    def forge(payment, gateway):
        fields = kit.unsigned_callback(payment)
        signature = gateway.key.sign(signing.text_to_sign(fields), padding.PKCS1v15(), algorithm())
        return fields | {"sign_type": "RSA2", "sign": base64.b64encode(signature).decode()}

    return forge


def changed_after_signing(**changes):
    return lambda payment, gateway: gateway.callback(payment) | changes


def rightly_signed(**changes):
    return lambda payment, gateway: gateway.callback(payment, **changes)


def as_text(change):
    return lambda payment, gateway: change(urlencode(gateway.callback(payment)))


def aged(delta):
    return lambda payment, gateway: gateway.callback(payment, notify_time=to_text(datetime.now(UTC) + delta))


FORGERIES = {
    "no signature": (lambda payment, gateway: kit.unsigned_callback(payment), "BAD_SIGNATURE"),
    "an empty signature": (changed_after_signing(sign=""), "BAD_SIGNATURE"),
    "junk for a signature": (changed_after_signing(sign="!!not base64!!"), "BAD_SIGNATURE"),
    "a short signature": (changed_after_signing(sign="AAAA"), "BAD_SIGNATURE"),
    "a signature that is not ASCII": (changed_after_signing(sign="签名"), "BAD_SIGNATURE"),
    "the signature of another body": (with_signature_of_another_body, "BAD_SIGNATURE"),
    "another key": (by_another_key, "BAD_SIGNATURE"),
    "SHA-1 instead": (signed_with(hashes.SHA1), "BAD_SIGNATURE"),
    "the type RSA": (changed_after_signing(sign_type="RSA"), "BAD_SIGNATURE"),
    "the type none": (changed_after_signing(sign_type="none"), "BAD_SIGNATURE"),
    "no type": (changed_after_signing(sign_type=""), "BAD_SIGNATURE"),
    "one cent less": (changed_after_signing(total_amount="49.89"), "BAD_SIGNATURE"),
    "a field more": (changed_after_signing(coupon="1"), "BAD_SIGNATURE"),
    "another order": (changed_after_signing(out_trade_no="ANOTHER"), "BAD_SIGNATURE"),
    "one cent less, signed": (rightly_signed(total_amount="49.89"), "WRONG_AMOUNT"),
    "one cent more, signed": (rightly_signed(total_amount="49.91"), "WRONG_AMOUNT"),
    "nothing, signed": (rightly_signed(total_amount="0.00"), "WRONG_AMOUNT"),
    "dollars, signed": (rightly_signed(trans_currency="USD"), "WRONG_CURRENCY"),
    "an amount with one decimal": (rightly_signed(total_amount="49.9"), "MALFORMED"),
    "an amount in floating point": (rightly_signed(total_amount="4.99e1"), "MALFORMED"),
    "an amount with a leading zero": (rightly_signed(total_amount="049.90"), "MALFORMED"),
    "no amount": (rightly_signed(total_amount=""), "MALFORMED"),
    "a date that is none": (rightly_signed(gmt_payment="yesterday"), "MALFORMED"),
    "another merchant's app": (rightly_signed(app_id="2021000000000099"), "WRONG_MERCHANT"),
    "another seller": (rightly_signed(seller_id="2088000000000099"), "WRONG_MERCHANT"),
    "an order that is not ours": (rightly_signed(out_trade_no="NO-SUCH-ORDER"), "UNKNOWN_ORDER"),
    "a recording of last week": (aged(timedelta(days=-7)), "STALE"),
    "a message from the future": (aged(timedelta(hours=1)), "STALE"),
    "an amount said twice": (as_text(lambda text: f"{text}&total_amount=0.01"), "MALFORMED"),
    "a signature said twice": (as_text(lambda text: f"sign=AAAA&{text}"), "MALFORMED"),
    "no form": (lambda payment, gateway: '{"total_amount": "49.90"}', "MALFORMED"),
    "nothing at all": (lambda payment, gateway: "", "BAD_SIGNATURE"),
    "broken escapes": (as_text(lambda text: f"{text}&a=%ff%fe"), "MALFORMED"),
    "bytes that are no text": (lambda payment, gateway: b"\x00\xff" * 100, "MALFORMED"),
    "many fields": (as_text(lambda text: text + "".join(f"&f{n}=1" for n in range(60))), "MALFORMED"),
    "a long body": (as_text(lambda text: f"{text}&padding={'x' * 10_000}"), "TOO_LARGE"),
    "ten megabytes": (lambda payment, gateway: b"x" * 10_000_000, "TOO_LARGE"),
}


@pytest.mark.django_db(databases=["payments"])
class TestForgedCallback:
    @pytest.mark.parametrize("name", FORGERIES)
    def test_is_refused_and_recorded_and_learns_nothing(self, gateway, queue, name):
        forge, verdict = FORGERIES[name]
        payment = kit.open_payment()

        response = post(forge(payment, gateway))

        assert (response.status_code, response.content) == (400, b"failure")
        assert CallbackLog.objects.get().verdict == verdict
        assert Payment.objects.get(pk=payment.pk).status == Payment.Status.PENDING
        assert not Capture.objects.exists()
        assert not queue.halves

    def test_cannot_use_the_trade_of_another_order(self, gateway, queue):
        paid, victim = kit.open_payment(), kit.open_payment()
        fields = gateway.callback(paid)
        post(fields)

        response = post(gateway.callback(victim, trade_no=fields["trade_no"]))

        assert response.content == b"failure"
        assert verdicts(victim) == ["TRADE_OF_ANOTHER_ORDER"]

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_cannot_come_by_another_method(self, gateway, queue, method):
        payment = kit.open_payment()
        query = urlencode(gateway.callback(payment))

        response = getattr(Client(), method)(f"{ADDRESS}?{query}")

        assert (response.status_code, response.content) == (400, b"failure")
        assert CallbackLog.objects.get().verdict == "NOT_POST"

    def test_is_refused_with_any_byte_changed(self, gateway, queue):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        payment = kit.open_payment()
        genuine = urlencode(gateway.callback(payment)).encode()

        for _ in range(300):
            forged = bytearray(genuine)
            forged[dice.randrange(len(forged))] ^= 1 << dice.randrange(8)
            if signing.text_to_sign(dict(_pairs(forged))) != signing.text_to_sign(dict(_pairs(genuine))):
                assert not kit.receive(bytes(forged), now=datetime.now(UTC)).is_success

        assert not Capture.objects.exists()

    def test_keeps_the_log_small_and_storable(self, gateway, queue):
        post(b"\x00" * 8000)

        assert len(CallbackLog.objects.get().body) == 2048

    def test_is_logged_some_times_a_minute_and_then_only_counted(self, gateway, queue):
        payment = kit.open_payment()
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        for second in range(callbacks.LOGGED_PER_MINUTE + 5):
            at = minute + timedelta(seconds=second % 60)
            assert kit.receive(b"no form", now=at) == "MALFORMED"

        assert CallbackLog.objects.count() == callbacks.LOGGED_PER_MINUTE
        assert RefusedCallbacks.objects.get().count == callbacks.LOGGED_PER_MINUTE + 5
        assert kit.receive(b"no form", now=minute + timedelta(minutes=1)) == "MALFORMED"
        assert post(gateway.callback(payment)).content == b"success"
        assert CallbackLog.objects.count() == callbacks.LOGGED_PER_MINUTE + 2


def _pairs(body: bytes | bytearray) -> list[tuple[str, str]]:
    return parse_qsl(body.decode("latin-1"), keep_blank_values=True)


@pytest.mark.django_db(databases=["payments"], transaction=True)
class TestReplayedCallback:
    def test_has_one_effect_when_it_comes_a_thousand_times_by_eight_threads(self, gateway, queue):
        payment = kit.open_payment()
        body = urlencode(gateway.callback(payment)).encode()

        def deliver(_: int) -> list[str]:
            try:
                return [kit.receive(body, now=datetime.now(UTC)) for _ in range(125)]
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            answers = [verdict for part in pool.map(deliver, range(8)) for verdict in part]

        assert sorted(set(answers)) == ["ACCEPTED", "REPLAYED"]
        assert answers.count("ACCEPTED") == 1
        assert Capture.objects.filter(payment=payment).count() == 1
        assert len(queue.shown_as("PaymentSucceeded")) == 1
        assert len(verdicts(payment)) == 1000
