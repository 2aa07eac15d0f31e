"""The statement of a day, from the gateway's own file to our books, on a clock that is a day ahead by then."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from payments.gateway import channels, china
from payments.gateway.alipay import statement as alipay_file
from payments.gateway.contract import GatewayUnavailable, StatementLine
from payments.gateway.wechat import statement as wechat_file
from payments.models import Alarm, Capture, Payment, Refund, Statement
from payments.services import opening, reconciling, refunding, statements
from payments.tests import kit
from payments.tests.test_refunding import request
from paysim.testing import PaysimProcess

pytestmark = pytest.mark.django_db(databases=["payments"])

BOTH = list(channels.GATEWAYS)
DAY_MS = 86_400_000


class World:
    """The payment company on a clock of its own, and what buyers did today."""

    def __init__(self, paysim: PaysimProcess, clock_file: Path) -> None:
        self.paysim = paysim
        self.clock_file = clock_file
        clock_file.write_bytes((0).to_bytes(8, "big", signed=True))

    @property
    def now(self) -> datetime:
        ms = int.from_bytes(self.clock_file.read_bytes(), "big", signed=True)
        return datetime.now(UTC) + timedelta(milliseconds=ms)

    def tomorrow(self) -> None:
        self.clock_file.write_bytes((2 * DAY_MS).to_bytes(8, "big", signed=True))

    def pay(self, channel: str, *, is_heard_of: bool = True) -> Payment:
        payment = kit.open_payment()
        url = opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=self.now, channel=channel)
        self.paysim.press(self.paysim.visit(url)["token"]).raise_for_status()
        if is_heard_of:
            assert reconciling.ask_about_payments(now=self.now + timedelta(minutes=1)).settled
        Payment.objects.filter(pk=payment.pk).update(ask_at=None)
        return payment

    def refund(self, payment: Payment, cents: int, *, is_heard_of: bool = True) -> Refund:
        number = request(payment, cents=cents, key=str(cents)).refund_no
        answer = refunding.ask_gateway(refund_no=number, now=self.now)
        if is_heard_of:
            assert refunding.settle_aside(number, answer, now=self.now)
        return Refund.objects.get(refund_no=number)


@pytest.fixture(scope="module")
def clock_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clock") / "offset"


@pytest.fixture(scope="module")
def paysim(tmp_path_factory: pytest.TempPathFactory, clock_file: Path) -> Iterator[PaysimProcess]:
    with PaysimProcess(tmp_path_factory.mktemp("paysim"), clock_offset_file=clock_file) as process:
        yield process


@pytest.fixture
def world(paysim, clock_file, queue) -> World:
    paysim.fault("drop", count=10_000)
    return World(paysim, clock_file)


@pytest.fixture
def today(world: World) -> date:
    """As it is before the clock moves; what earlier tests left at the gateway is somebody else's."""
    return world.now.astimezone(china.ZONE).date()


def of(channel: str, day: date, world: World) -> Statement:
    world.tomorrow()
    return statements.compare(channel, day, now=world.now)


def alarms_about(payment: Payment) -> list[str]:
    return list(Alarm.objects.filter(order_no=payment.order_no).order_by("kind").values_list("kind", flat=True))


@pytest.mark.parametrize("channel", BOTH)
class TestCompare:
    def test_finds_every_line_in_both_books(self, world, today, channel):
        payment = world.pay(channel)
        refund = world.refund(payment, 1000)

        statement = of(channel, today, world)

        assert statement.payment_count >= 1
        assert not alarms_about(payment)
        lines = channels.of(channel).statement(today, now=world.now)
        mine = [(line.refund_no, line.amount_cents) for line in lines if line.order_no == payment.order_no]
        assert mine == [("", kit.PRICE_CENTS), (refund.refund_no, 1000)]

    def test_takes_over_a_payment_that_nobody_told_us_of(self, world, today, queue, channel):
        payment = world.pay(channel, is_heard_of=False)

        first, second = of(channel, today, world), of(channel, today, world)

        assert (first.repaired_count, second.repaired_count) == (1, 0)
        payment.refresh_from_db()
        assert payment.status == Payment.Status.SUCCEEDED
        assert payment.order_no in [message.sharding_key for message in queue.shown_as("PaymentSucceeded")]

    def test_takes_over_a_refund_whose_answer_was_lost(self, world, today, queue, channel):
        payment = world.pay(channel)
        refund = world.refund(payment, 1000, is_heard_of=False)

        statement = of(channel, today, world)

        assert statement.repaired_count == 1
        refund.refresh_from_db()
        assert refund.status == Refund.Status.SUCCEEDED
        assert len(queue.shown_as("RefundSucceeded")) == 1

    def test_raises_an_alarm_about_whatever_differs_once(self, world, today, channel):
        dearer, missing, wrong, unknown = (world.pay(channel) for _ in range(4))
        Capture.objects.filter(payment=dearer).update(amount_cents=kit.PRICE_CENTS + 1)
        Capture.objects.filter(payment=missing).update(trade_no="99990000")
        refund = world.refund(wrong, 1000)
        Refund.objects.filter(pk=refund.pk).update(amount_cents=999)
        refund = world.refund(unknown, 500)
        Refund.objects.filter(pk=refund.pk).update(refund_no="R-NOBODY")

        for _ in range(2):
            of(channel, today, world)

        assert alarms_about(dearer) == ["PAID_AMOUNT_DIFFERS"]
        assert alarms_about(missing) == ["PAYMENT_NOT_IN_STATEMENT"]
        assert alarms_about(wrong) == ["REFUND_AMOUNT_DIFFERS"]
        assert alarms_about(unknown) == ["REFUND_NOT_IN_STATEMENT", "REFUND_UNKNOWN"]

    def test_raises_an_alarm_about_money_for_an_order_that_does_not_exist(self, world, today, channel):
        payment = world.pay(channel, is_heard_of=False)
        order_no = payment.order_no
        payment.delete()

        of(channel, today, world)

        assert Alarm.objects.get(order_no=order_no).kind == Alarm.Kind.PAID_FOR_NOTHING

    def test_has_no_statement_of_a_day_that_is_not_over(self, world, today, channel):
        with pytest.raises(GatewayUnavailable):
            statements.compare(channel, today, now=world.now)


class TestDaysToCompare:
    def test_are_those_since_the_first_payment_that_are_over_since_ten_hours(self):
        payment = kit.open_payment()
        Payment.objects.filter(pk=payment.pk).update(created_at=datetime(2026, 11, 10, 12, tzinfo=china.ZONE))
        early, late = (datetime(2026, 11, 13, hour, tzinfo=china.ZONE) for hour in (9, 11))
        days = [date(2026, 11, day) for day in (10, 11, 12)]

        assert statements.days_to_compare("alipay", now=early) == days[:2]
        assert statements.days_to_compare("alipay", now=late) == days

    def test_leave_out_those_that_were_compared(self, world, today):
        payment = kit.open_payment()
        Payment.objects.filter(pk=payment.pk).update(created_at=world.now)
        world.tomorrow()
        compared = statements.compare_due(now=world.now)

        assert {(one.channel, one.day) for one in compared} >= {(channel, today) for channel in BOTH}
        assert statements.compare_due(now=world.now) == []


LINE = StatementLine("2026", "M1", "", 4990, datetime(2026, 11, 11, tzinfo=china.ZONE))


class TestDamagedFiles:
    def test_are_no_statement_of_alipay(self):
        def zipped(text: str, name: str = "x_业务明细.csv") -> bytes:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as file:
                file.writestr(name, text.encode("gbk"))
            return packed.getvalue()

        head = "支付宝交易号,商户订单号,业务类型,完成时间,订单金额（元）,退款批次号/请求号\r\n"
        good = head + "2026\t,M1\t,交易,2026-11-11 00:00:00,49.90,\r\n"
        assert alipay_file.lines_of(zipped("#\r\n" + good)) == [LINE]
        for damaged in (
            b"",
            b"PK\x03\x04 no zip",
            zipped(good, "another.txt"),
            zipped(good.replace("49.90", "49.9")),
            zipped(good.replace("49.90", "-49.90")),
            zipped(good.replace("交易,", "转账,")),
            zipped(good.replace("2026-11-11", "yesterday")),
            zipped(good.replace("订单金额", "金额")),
        ):
            with pytest.raises(alipay_file.Unreadable):
                alipay_file.lines_of(damaged)

    def test_are_no_statement_of_wechat(self):
        names = "交易时间,微信订单号,商户订单号,交易状态,货币种类,商户退款单号,退款金额,订单金额"
        row = "`2026-11-11 00:00:00,`2026,`M1,`SUCCESS,`CNY,`0,`0.00,`49.90"
        good = f"{names}\r\n{row}\r\n总交易单数,退款总金额\r\n`1,`0.00\r\n"
        assert wechat_file.lines_of(good.encode()) == [LINE]
        for damaged in (
            "",
            good.replace(f"{row}\r\n", ""),
            good.replace("`49.90", "`49.9"),
            good.replace("`CNY", "`USD"),
            good.replace("SUCCESS", "REVOKED"),
            good.replace("`1,", "`2,"),
            good.replace("`2026,", "2026,"),
        ):
            with pytest.raises(wechat_file.Unreadable):
                wechat_file.lines_of(damaged.encode())


class TestCommand:
    def test_shows_alarms_until_a_person_has_dealt_with_them(self, world, today, settings):
        payment = world.pay("wechat")
        Capture.objects.filter(payment=payment).update(trade_no="99990000")
        world.tomorrow()
        settings.CLOCK_OFFSET_FILE = world.clock_file
        said = StringIO()

        with pytest.raises(SystemExit) as ended:
            call_command("reconcile", "payments", "--day", today.isoformat(), stdout=said)
        [alarm] = Alarm.objects.filter(order_no=payment.order_no)
        call_command("reconcile", "payments", resolve=alarm.pk, why="a test's doing", by="alice", stdout=said)

        assert ended.value.code == 1
        assert "PAYMENT_NOT_IN_STATEMENT" in said.getvalue()
        alarm.refresh_from_db()
        assert (alarm.resolved_by, alarm.resolution) == ("alice", "a test's doing")

    def test_wants_a_reason(self):
        with pytest.raises(CommandError, match="--why"):
            call_command("reconcile", "payments", resolve=1, stdout=StringIO())
