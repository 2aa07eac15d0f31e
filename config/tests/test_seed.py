"""`manage.py seed`: a shop to try out, the same one after the second run."""

from __future__ import annotations

import json
import stat
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.models import User
from common.clock import now
from config import sample_data
from inventory.messages import SkuChanged
from inventory.models import Sku, StockRecord
from inventory.services import catalog
from messaging.testing import RecordedQueue
from mq.errors import ConnectionLost

pytestmark = pytest.mark.django_db(databases=["accounts", "coupons", "inventory"], transaction=True)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> RecordedQueue:
    recorded = RecordedQueue()
    monkeypatch.setattr("messaging.transactions._sender", lambda service: recorded)
    return recorded


def seed(data: Path) -> dict[str, Any]:
    out = StringIO()
    call_command("seed", data=data, json=True, stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


class TestSeed:
    def test_puts_articles_on_sale_and_announces_them(self, queue: RecordedQueue, tmp_path: Path):
        seed(tmp_path)

        announced = {SkuChanged.from_body(message.body).sku for message in queue.shown()}
        assert announced == set(Sku.objects.values_list("sku", flat=True))
        assert announced == {article.sku for article in sample_data.ARTICLES}
        assert StockRecord.objects.get(sku="SCROLL-PLUM").available == 1

    def test_makes_buyers_with_passwords_of_this_shop_only(self, queue: RecordedQueue, tmp_path: Path):
        logins = seed(tmp_path / "one")["logins"]

        assert set(logins) == set(sample_data.BUYERS)
        for user in User.objects.all():
            assert user.check_password(logins[user.username])
        assert seed(tmp_path / "other")["logins"] != logins
        assert stat.S_IMODE(sample_data.logins_file(tmp_path / "one").stat().st_mode) == 0o600

    def test_changes_nothing_the_second_time(self, queue: RecordedQueue, tmp_path: Path):
        first = seed(tmp_path)
        catalog.put_sku(sku="SCROLL-PLUM", title="Scroll", price_cents=1, on_sale=False, initial=0, now=now())
        told_count = len(queue.halves)

        second = seed(tmp_path)

        assert second == {"logins": first["logins"], "new_skus": []}
        assert len(queue.halves) == told_count
        assert Sku.objects.get(sku="SCROLL-PLUM").title == "Scroll"

    def test_says_what_to_do_when_no_broker_runs(
        self, queue: RecordedQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ):
        queue.failure = ConnectionLost("no broker")

        with pytest.raises(SystemExit) as refusal:
            seed(tmp_path)

        assert refusal.value.code == 3
        assert "start the broker first" in capsys.readouterr().err
