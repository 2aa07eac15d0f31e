"""WeChat Pay's dialect as a merchant's server meets it: who may ask, what callbacks look like, when they come again."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from paysim import clock
from paysim.tests.merchant import Mailbox, Merchant

MCHID, API_V3_KEY = "1900000042", b"thirty-two characters of a key!!"
SCHEDULE_S = (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600)


class WechatMerchant(Merchant):
    def __init__(self, paysim, *, offset_file) -> None:
        super().__init__(paysim, app_id=MCHID, offset_file=offset_file)
        (paysim.keys / f"{MCHID}.apiv3").write_bytes(API_V3_KEY)
        [path] = paysim.keys.glob("wechatpay-*.pem")
        key = x509.load_pem_x509_certificate(path.read_bytes()).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        self.platform, self.serial = key, path.stem.removeprefix("wechatpay-")

    def authorization(self, method: str, target: str, body: bytes, *, age: timedelta = timedelta()) -> str:
        timestamp = self.clock.now_ms() // 1000 - int(age.total_seconds())
        nonce = secrets.token_hex(8)
        text = f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
        signature = base64.b64encode(self.key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
        return (
            f'WECHATPAY2-SHA256-RSA2048 mchid="{MCHID}",nonce_str="{nonce}",timestamp="{timestamp}",'
            f'serial_no="A1",signature="{signature}"'
        )

    def ask(self, method: str, target: str, content: object = None, *, authorization: str | None = None):
        """The answer, its signature checked."""
        body = b"" if content is None else json.dumps(content).encode()
        headers = {"Authorization": authorization or self.authorization(method, target, body)}
        response = self.paysim.http.request(method, target, content=body, headers=headers)
        self.check(response.headers, response.content)
        return response

    def check(self, headers, body: bytes) -> None:
        text = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode() + body + b"\n"
        signature = base64.b64decode(headers["wechatpay-signature"])
        self.platform.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        assert headers["wechatpay-serial"] == self.serial

    def prepay(self, order: str, callback_url: str, /, **changes: object):
        content = {
            "appid": "wx0000000000000042",
            "mchid": MCHID,
            "description": "Retro clock",
            "out_trade_no": order,
            "notify_url": callback_url,
            "time_expire": clock.to_rfc3339(self.clock.now_ms() + 86_400_000),
            "amount": {"total": 4990, "currency": "CNY"},
        }
        return self.ask("POST", "/v3/pay/transactions/h5", content | changes)

    def pay(self, order_no: str, mailbox: Mailbox) -> str:
        url = self.prepay(order_no, mailbox.url).json()["h5_url"]
        token = self.paysim.visit(url)["token"]
        return str(self.paysim.press(token).raise_for_status().json()["trade_no"])

    def opened(self, resource: dict[str, str]) -> dict[str, object]:
        box, data = base64.b64decode(resource["ciphertext"]), resource["associated_data"].encode()
        told: dict[str, object] = json.loads(AESGCM(API_V3_KEY).decrypt(resource["nonce"].encode(), box, data))
        return told


@pytest.fixture(scope="module")
def wechat(paysim, offset_file) -> WechatMerchant:
    return WechatMerchant(paysim, offset_file=offset_file)


class TestCallback:
    def test_says_what_was_paid_sealed_and_signed(self, wechat, mailbox, order_no):
        trade_no = wechat.pay(order_no, mailbox)

        headers, body = mailbox.next_post()

        wechat.check(headers, body)
        event = json.loads(body)
        assert event["event_type"] == "TRANSACTION.SUCCESS"
        told = wechat.opened(event["resource"])
        assert (told["out_trade_no"], told["transaction_id"], told["mchid"]) == (order_no, trade_no, MCHID)
        assert told["amount"] == {"total": 4990, "payer_total": 4990, "currency": "CNY", "payer_currency": "CNY"}

    @pytest.mark.parametrize("status", [200, 204])
    def test_is_over_with_the_right_status_and_needs_no_word(self, wechat, mailbox, order_no, pass_time, status):
        mailbox.statuses.put(status)
        mailbox.answers.put("")
        wechat.pay(order_no, mailbox)
        mailbox.next_post()

        pass_time(24 * 60)

        assert mailbox.is_silent()

    def test_keeps_to_the_schedule_and_gives_up_after_a_day(self, wechat, mailbox, order_no, pass_time):
        for _ in range(20):
            mailbox.statuses.put(500)
        wechat.pay(order_no, mailbox)
        first = json.loads(mailbox.next_post()[1])

        for attempt, seconds in enumerate(SCHEDULE_S):
            pass_time((seconds - 2) / 60)
            if attempt % 5 == 2:  # the minutes before, the others would be waited for in vain, too
                assert mailbox.is_silent()
            pass_time(2 / 60)
            assert json.loads(mailbox.next_post()[1])["id"] == first["id"]

        assert sum(SCHEDULE_S) == 24 * 3600 + 4 * 60
        pass_time(7 * 24 * 60)
        assert mailbox.is_silent()

    def test_can_be_overtaken_when_that_is_asked_for(self, paysim, wechat, mailbox, order_no):
        paysim.fault("reorder", out_trade_no=order_no)
        wechat.pay(order_no, mailbox)
        assert mailbox.is_silent()

        wechat.pay(f"{order_no}-2", mailbox)

        order = [wechat.opened(json.loads(mailbox.next_post()[1])["resource"])["out_trade_no"] for _ in range(2)]
        assert order == [f"{order_no}-2", order_no]

    @pytest.mark.parametrize(
        ("fault", "name", "value"),
        [("wrong_merchant", "mchid", "1999999999"), ("wrong_amount", "amount", 4991)],
    )
    def test_lies_under_the_right_signature_when_that_is_asked_for(
        self, paysim, wechat, mailbox, order_no, fault, name, value
    ):
        paysim.fault(fault, out_trade_no=order_no)

        wechat.pay(order_no, mailbox)

        headers, body = mailbox.next_post()
        wechat.check(headers, body)
        told = wechat.opened(json.loads(body)["resource"])[name]
        assert (told["total"] if isinstance(told, dict) else told) == value


class TestRequests:
    def test_are_answered_to_nobody_but_who_signed_them_just_now(self, wechat, order_no):
        target = f"/v3/pay/transactions/out-trade-no/{order_no}?mchid={MCHID}"
        genuine = wechat.authorization("GET", target, b"")
        for forged in (
            "none",
            genuine.replace("WECHATPAY2-SHA256-RSA2048", "WECHATPAY2-SM2-WITH-SM3"),
            genuine.replace('signature="', 'signature="AAAA'),
            genuine.replace(MCHID, "1900000099"),
            genuine.replace('nonce_str="', 'nonce_str="0'),
            f'{genuine},mchid="{MCHID}"',
            wechat.authorization("POST", target, b""),
            wechat.authorization("GET", target, b"{}"),
            wechat.authorization("GET", target, b"", age=timedelta(minutes=6)),
        ):
            assert wechat.ask("GET", target, authorization=forged).status_code in (400, 401)

        assert wechat.ask("GET", target, authorization=genuine).json()["code"] == "ORDER_NOT_EXIST"

    def test_for_another_merchants_order_find_nothing(self, wechat, merchant, mailbox, order_no, pay):
        pay(order_no)

        answer = wechat.ask("GET", f"/v3/pay/transactions/out-trade-no/{order_no}?mchid={MCHID}")

        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": {"total": 0, "currency": "CNY"}},
            {"amount": {"total": "4990", "currency": "CNY"}},
            {"amount": {"total": 4990, "currency": "USD"}},
            {"notify_url": "http://example.com/"},
            {"time_expire": "tomorrow"},
            {"mchid": "1900000099"},
            {"out_trade_no": "a b"},
            {"appid": "../x"},
        ],
    )
    def test_that_cannot_be_are_refused(self, wechat, mailbox, order_no, changes):
        answer = wechat.prepay(order_no, mailbox.url, **changes)

        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")

    def test_for_a_link_lead_to_no_cashier_with_a_guessed_token(self, paysim):
        answer = paysim.http.get("/cashier/wechat?prepay_id=guessed", headers={"Accept": "application/json"})

        assert answer.status_code == 409
