from __future__ import annotations

from functools import partial

import pytest

from common.errors import NotFound
from common.testing import race
from inventory.messages import SkuChanged
from inventory.models import Sku, StockRecord
from inventory.services import catalog
from inventory.tests import shelf
from inventory.tests.shelf import NOON
from messaging.testing import RecordedQueue

pytestmark = pytest.mark.django_db(databases=["inventory"], transaction=True)


def put(*, price_cents: int = 1250, on_sale: bool = True) -> bool:
    return catalog.put_sku(sku="TEAPOT", title="Teapot", price_cents=price_cents, on_sale=on_sale, initial=5, now=NOON)


def told(queue: RecordedQueue) -> list[tuple[int, int, bool]]:
    changes = [SkuChanged.from_body(message.body) for message in queue.shown()]
    return [(change.version, change.price_cents, change.on_sale) for change in changes]


class TestPutSku:
    def test_puts_a_new_article_on_the_shelf_and_tells_it(self, queue: RecordedQueue):
        assert put()

        assert shelf.counts("TEAPOT") == (5, 0, 0)
        assert told(queue) == [(1, 1250, True)]
        shelf.check_books()

    def test_takes_the_longest_sku(self, queue: RecordedQueue):
        longest = "T" * 64

        catalog.put_sku(sku=longest, title="Teapot", price_cents=1, on_sale=True, initial=5, now=NOON)

        assert shelf.counts(longest) == (5, 0, 0)

    def test_tells_every_change_by_its_version(self, queue: RecordedQueue):
        put()
        put(price_cents=1300)
        put(price_cents=1300, on_sale=False)

        assert told(queue) == [(1, 1250, True), (2, 1300, True), (3, 1300, False)]
        assert Sku.objects.get().version == 3

    def test_tells_nothing_when_nothing_changed(self, queue: RecordedQueue):
        put()

        assert not put()

        assert len(queue.halves) == 1

    def test_leaves_the_stock_of_a_known_article_alone(self, queue: RecordedQueue):
        put()
        shelf.reserve("M1", TEAPOT=2)

        put(price_cents=1300)

        assert shelf.counts("TEAPOT") == (3, 2, 0)


class TestReceiveDelivery:
    def test_adds_units_once_per_receipt(self):
        shelf.put(TEAPOT=5)

        results = race([partial(catalog.receive_delivery, sku="TEAPOT", quantity=7, receipt_no="D1", now=NOON)] * 4)

        assert sorted(results) == [False, False, False, True]
        assert StockRecord.objects.get().added == 7
        assert shelf.counts("TEAPOT") == (12, 0, 0)
        shelf.check_books()

    def test_refuses_an_unknown_article(self):
        with pytest.raises(NotFound):
            catalog.receive_delivery(sku="UNICORN", quantity=1, receipt_no="D1", now=NOON)
