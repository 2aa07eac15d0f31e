"""P2 at full size: the same callback ten thousand times, by sixty-four threads, in either dialect."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.testing import database_threads
from payments.gateway.contract import Verdict
from payments.models import Capture
from payments.tests import kit

pytestmark = [
    pytest.mark.promise,
    pytest.mark.timeout(300),
    pytest.mark.django_db(databases=["payments"], transaction=True),
]

TIMES = 10_000
THREADS = 64


@pytest.mark.parametrize("channel", ["alipay", pytest.param("wechat", marks=pytest.mark.nightly)])
class TestReplayedCallback:
    def test_has_one_effect_when_it_comes_ten_thousand_times(self, pens, queue, record_property, channel):
        payment = kit.open_payment()
        deliver = pens.told(channel, payment)

        begin = datetime.now(UTC)
        with database_threads(THREADS) as threads:
            verdicts = list(threads.map(lambda _: deliver(), range(TIMES)))
        seconds = (datetime.now(UTC) - begin).total_seconds()

        assert verdicts.count(Verdict.ACCEPTED) == 1
        assert verdicts.count(Verdict.REPLAYED) == TIMES - 1
        assert Capture.objects.filter(payment=payment).count() == 1
        assert len(queue.shown_as("PaymentSucceeded")) == 1
        record_property(
            "figure", f"P2 {channel}: {TIMES:,} replays by {THREADS} threads in {seconds:.1f} s, one effect"
        )
