from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paysim.alipay import signing
from paysim.testing import PaysimProcess
from paysim.tests.merchant import Merchant

SCHEDULE_MINUTES = (4, 10, 10, 60, 120, 360, 900)


def start(data: Path, *, port: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "paysim", "--data", str(data), "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


class TestCallback:
    def test_says_what_was_paid_and_is_signed(self, merchant, mailbox, order_no, pay):
        trade_no = pay(order_no)

        fields = mailbox.next()

        assert signing.is_signed_by(merchant.gateway_key, fields)
        assert (fields["out_trade_no"], fields["trade_no"]) == (order_no, trade_no)
        assert (fields["total_amount"], fields["trans_currency"]) == ("49.90", "CNY")
        assert (fields["app_id"], fields["seller_id"]) == (merchant.app_id, "2088000000000042")
        assert fields["trade_status"] == "TRADE_SUCCESS"

    def test_comes_once_when_it_is_answered_and_the_button_pressed_twice(
        self, paysim, merchant, mailbox, order_no, pass_time
    ):
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=mailbox.url))
        paysim.press(visit["token"])
        paysim.press(visit["token"])
        mailbox.next()

        pass_time(60)

        assert mailbox.is_silent()

    @pytest.mark.parametrize("answer", ["failure", "", "SUCCESS", "success\n", "successfully"])
    def test_comes_again_until_the_answer_is_exactly_success(self, mailbox, order_no, pay, pass_time, answer):
        mailbox.answers.put(answer)
        pay(order_no)
        first = mailbox.next()

        pass_time(SCHEDULE_MINUTES[0])
        second = mailbox.next()
        pass_time(24 * 60)

        assert second["notify_id"] == first["notify_id"]
        assert mailbox.is_silent()

    def test_keeps_to_the_schedule_and_gives_up_after_a_day(self, mailbox, order_no, pay, pass_time):
        for _ in range(20):
            mailbox.answers.put("failure")
        pay(order_no)
        mailbox.next()

        for minutes in SCHEDULE_MINUTES:
            pass_time(minutes - 0.5)
            assert mailbox.is_silent()
            pass_time(0.5)
            mailbox.next()

        pass_time(7 * 24 * 60)
        assert mailbox.is_silent()

    def test_waits_for_a_shop_that_is_down(self, paysim, merchant, mailbox, order_no, pass_time):
        url = mailbox.url
        mailbox.answers.put("failure")
        visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=url))
        paysim.press(visit["token"])
        mailbox.next()

        pass_time(5)

        assert mailbox.next()["out_trade_no"] == order_no

    def test_survives_a_crash_of_the_payment_company(self, tmp_path, mailbox, order_no):
        offset_file = tmp_path / "offset"
        with PaysimProcess(tmp_path, clock_offset_file=offset_file) as paysim:
            merchant = Merchant(paysim, offset_file=offset_file)
            mailbox.answers.put("failure")
            visit = paysim.visit(merchant.cashier_url(order_no, 4990, notify_url=mailbox.url))
            paysim.press(visit["token"])
            before = mailbox.next()
            paysim.kill()

            offset_file.write_bytes((5 * 60_000).to_bytes(8, "big", signed=True))
            paysim.start()

            after = mailbox.next()
            assert after["notify_id"] == before["notify_id"]
            assert signing.is_signed_by(merchant.gateway_key, after)


class TestFaults:
    def test_duplicate_sends_the_same_bytes_again(self, paysim, mailbox, order_no, pay):
        paysim.fault("duplicate", out_trade_no=order_no, argument=2)

        pay(order_no)

        assert mailbox.next() == mailbox.next() == mailbox.next()
        assert mailbox.is_silent()

    def test_delay_holds_the_callback_back(self, paysim, mailbox, order_no, pay, pass_time):
        paysim.fault("delay", out_trade_no=order_no, argument=3 * 60_000)

        pay(order_no)

        assert mailbox.is_silent()
        pass_time(3)
        assert mailbox.next()["out_trade_no"] == order_no

    def test_drop_loses_an_attempt(self, paysim, mailbox, order_no, pay, pass_time):
        paysim.fault("drop", out_trade_no=order_no)

        pay(order_no)

        assert mailbox.is_silent()
        pass_time(4)
        assert mailbox.next()["out_trade_no"] == order_no

    def test_forged_signature_is_not_the_gateways(self, paysim, merchant, mailbox, order_no, pay):
        paysim.fault("forged_signature", out_trade_no=order_no)

        pay(order_no)

        assert not signing.is_signed_by(merchant.gateway_key, mailbox.next())

    def test_wrong_amount_is_signed_all_the_same(self, paysim, merchant, mailbox, order_no, pay):
        paysim.fault("wrong_amount", out_trade_no=order_no)

        pay(order_no)

        fields = mailbox.next()
        assert signing.is_signed_by(merchant.gateway_key, fields)
        assert fields["total_amount"] == "49.91"

    def test_second_trade_pays_the_same_order_twice(self, paysim, mailbox, order_no, pay):
        paysim.fault("second_trade", out_trade_no=order_no)

        pay(order_no)

        one, other = mailbox.next(), mailbox.next()
        assert one["out_trade_no"] == other["out_trade_no"] == order_no
        assert one["trade_no"] != other["trade_no"]

    def test_strike_the_order_they_name_and_as_often_as_asked(self, paysim, mailbox, order_no, pay):
        paysim.fault("drop", out_trade_no="ANOTHER-ORDER", count=3)

        pay(order_no)

        assert mailbox.next()["out_trade_no"] == order_no
        (armed,) = paysim.http.get("/faults").json()["faults"]
        assert (armed["kind"], armed["left_count"]) == ("drop", 3)
        assert paysim.http.delete("/faults").json() == {"faults": []}

    def test_are_not_asked_for_by_a_page_in_somebodys_browser(self, paysim):
        answer = paysim.http.post("/faults", content='{"kind": "drop"}', headers={"Content-Type": "text/plain"})

        assert answer.status_code == 400

    @pytest.mark.parametrize("body", [{}, {"kind": "flood"}, {"kind": "drop", "count": 0}, {"kind": "drop", "x": 1}])
    def test_are_refused_when_unknown(self, paysim, body):
        assert paysim.http.post("/faults", json=body).status_code == 400


class TestProcess:
    def test_stops_cleanly_and_keeps_its_key(self, tmp_path):
        with PaysimProcess(tmp_path) as paysim:
            key = (paysim.keys / "paysim.pem").read_bytes()
            assert (paysim.data / "private.pem").stat().st_mode & 0o077 == 0
            assert paysim.stop() == 0

            paysim.start()

            assert (paysim.keys / "paysim.pem").read_bytes() == key

    def test_says_what_to_do_when_its_port_is_taken(self, tmp_path, paysim):
        second = start(tmp_path, port=paysim.port)

        assert second.returncode == 3
        assert f"{paysim.port}" in second.stderr
        assert "--port" in second.stderr

    @pytest.mark.parametrize("name", ["paysim.sqlite3", "private.pem"])
    def test_says_what_to_do_when_its_data_is_damaged_and_leaves_it_alone(self, tmp_path, name):
        (tmp_path / name).write_bytes(b"damaged" * 100)

        answer = start(tmp_path, port=0)

        assert answer.returncode == 3
        assert str(tmp_path) in answer.stderr
        assert "--data" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
        assert (tmp_path / name).read_bytes() == b"damaged" * 100
