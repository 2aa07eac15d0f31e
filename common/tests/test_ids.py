from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from common import ids

EVENING = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)


class TestNewNumber:
    def test_names_its_kind_and_the_day_in_utc(self):
        shanghai = timezone(timedelta(hours=8))

        assert ids.new_number(ids.ORDER, EVENING).startswith("M261121")
        assert ids.new_number(ids.REFUND, EVENING.astimezone(shanghai)).startswith("R261121")

    def test_uses_all_of_its_randomness(self):
        """A thousand numbers: none comes twice, and every place takes every character."""
        numbers = [ids.new_number(ids.ORDER, EVENING) for _ in range(1000)]

        assert len(set(numbers)) == 1000
        for place in range(7, 23):
            assert len({number[place] for number in numbers}) == 32

    def test_is_recognized(self):
        assert ids.is_number(ids.new_number(ids.PAYMENT, EVENING), ids.PAYMENT)


class TestIsNumber:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "M",
            "M261121",
            "M2611217ZK3QW0F9T2N5XR",
            "M2611217ZK3QW0F9T2N5XRBB",
            "m2611217zk3qw0f9t2n5xrbb",
            "P2611217ZK3QW0F9T2N5XRB",
            "M261121IZK3QW0F9T2N5XRB",
            "M2611217ZK3QW0F9T2N5XRB\n",
            "M2611217ZK3QW0F9T2N5XR\x00",
            "M٢٦١١٢١7ZK3QW0F9T2N5XRB",
        ],
    )
    def test_refuses_what_is_none_of_ours(self, text: str):
        assert not ids.is_number(text, ids.ORDER)
