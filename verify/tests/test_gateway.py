"""C8 against a real (simulated) payment company: what it has in its books and we have not, or the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from payments.gateway import channels
from payments.gateway.contract import Trade
from payments.models import Capture
from payments.services import capturing, opening, refunding
from payments.tests import kit
from paysim.testing import PaysimProcess

pytestmark = pytest.mark.django_db(databases=["payments"])
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def paysim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PaysimProcess]:
    with PaysimProcess(tmp_path_factory.mktemp("paysim")) as process:
        yield process


@pytest.fixture(autouse=True)
def _at_the_gateway(settings: Settings, paysim: PaysimProcess) -> None:
    settings.PAYSIM_URL = paysim.url
    settings.PAYMENT_KEYS = paysim.keys
    settings.PAYMENT_PRIVATE_KEY = paysim.data.parent / "shop-private.pem"


@pytest.fixture
def paid(paysim: PaysimProcess) -> str:
    """The number of a trade that the gateway and we have."""
    for entry in channels.of(channels.ALIPAY).book(
        now=NOW
    ):  # what earlier tests paid was rolled back on our side: take it over
        payment = kit.open_payment()
        Capture.objects.create(
            payment=payment,
            trade_no=entry.trade_no,
            amount_cents=entry.total_cents,
            is_for_order=True,
            paid_at=NOW,
        )
        type(payment).objects.filter(pk=payment.pk).update(order_no=entry.out_trade_no)
    payment = kit.open_payment()
    visit = paysim.visit(opening.cashier_url(order_no=payment.order_no, buyer_id=kit.BUYER_ID, now=NOW))
    paysim.press(visit["token"])
    capturing.record(order_no=payment.order_no, trade=Trade(visit["trade_no"], kit.PRICE_CENTS, NOW), now=NOW)
    return visit["trade_no"]


class TestGatewayAgrees:
    def test_holds_for_a_payment_that_both_know(self, check, paid):
        assert check("C8").breaks == []

    def test_breaks_when_the_gateway_has_money_we_do_not_know_of(self, check, paid):
        Capture.objects.filter(trade_no=paid).delete()

        assert check("C8").breaks[0].startswith(f"trade {paid}: we have nothing; the gateway has 4990 captured")

    def test_breaks_when_we_claim_money_the_gateway_does_not_have(self, check, paid):
        Capture.objects.filter(trade_no=paid).update(trade_no="99990000")

        assert any("trade 99990000" in line and "the gateway has nothing" in line for line in check("C8").breaks)

    def test_breaks_when_the_amounts_differ(self, check, paid):
        Capture.objects.filter(trade_no=paid).update(amount_cents=4989)

        assert "4989 captured" in check("C8").breaks[0]

    def test_breaks_when_a_refund_is_only_in_one_book(self, check, paid):
        capture = Capture.objects.get(trade_no=paid)
        refund = refunding.give_back_whole(capture, refund_key="late:", now=NOW)
        refund.status = "SUCCEEDED"
        refund.save()

        assert f"{kit.PRICE_CENTS} given back in 1 refunds" in check("C8").breaks[0]
