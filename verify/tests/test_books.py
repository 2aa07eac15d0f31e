from __future__ import annotations

import random

import pytest

from verify.books import side_by_side


class TestSideBySide:
    def test_pairs_what_both_have_and_keeps_what_one_has(self):
        left = iter([("a", 1), ("c", 3), ("d", 4)])
        right = iter([("b", 20), ("c", 30)])

        assert list(side_by_side(left, right)) == [
            (("a", 1), None),
            (None, ("b", 20)),
            (("c", 3), ("c", 30)),
            (("d", 4), None),
        ]

    @pytest.mark.parametrize(("left", "right"), [([], []), ([("a",)], []), ([], [("a",)])])
    def test_ends_with_the_longer_one(self, left, right):
        assert len(list(side_by_side(iter(left), iter(right)))) == len(left) + len(right)

    def test_pairs_any_two_sorted_streams(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        dice = random.Random(seed)
        for _ in range(200):
            one, other = ({f"{dice.randrange(30):02}" for _ in range(dice.randrange(20))} for _ in range(2))
            pairs = list(side_by_side(iter([(key,) for key in sorted(one)]), iter([(key,) for key in sorted(other)])))
            assert {pair[0][0] for pair in pairs if pair[0]} == one
            assert {pair[1][0] for pair in pairs if pair[1]} == other
            assert sum(all(pair) for pair in pairs) == len(one & other)
