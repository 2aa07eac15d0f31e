from __future__ import annotations

import pytest

from common import money
from common.money import BadAmount


class TestText:
    @pytest.mark.parametrize(
        ("cents", "text"), [(0, "0.00"), (1, "0.01"), (100, "1.00"), (123456, "1234.56"), (10**10, "100000000.00")]
    )
    def test_goes_there_and_back(self, cents: int, text: str):
        assert money.to_text(cents) == text
        assert money.from_text(text) == cents

    def test_of_a_debt_has_a_sign(self):
        assert money.to_text(-5) == "-0.05"

    @pytest.mark.parametrize(
        "text",
        ["", "1", "1.0", "1.000", "01.00", "+1.00", "-1.00", "1e2", " 1.00", "1.00\n", "1,00", "١.٠٠", "NaN", "9" * 40],
    )
    def test_spelled_in_another_way_is_refused(self, text: str):
        with pytest.raises(BadAmount):
            money.from_text(text)
