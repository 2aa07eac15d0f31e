"""What sending a parcel costs: by where it goes, what it weighs and what the goods in it cost.

The rule can be replaced: `settings.FREIGHT_RULE` names a function from a `Parcel` to cents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string


class Parcel(NamedTuple):
    """What freight is reckoned by; `goods_cents` is what the goods cost after discounts."""

    region: str
    weight_grams: int
    goods_cents: int


@dataclass(frozen=True)
class Zone:
    """Prices of the first kilogram and of each one begun after it; goods from `free_from_cents` on travel free."""

    first_kg_cents: int
    next_kg_cents: int
    free_from_cents: int


Rule = Callable[[Parcel], int]

_NEAR: Final = Zone(600, 100, 9_900)
_FAR: Final = Zone(1_000, 400, 9_900)
_REMOTE: Final = Zone(1_800, 1_200, 49_900)
#: The warehouse is in Shanghai.
_ZONES: Final = dict.fromkeys(("CN-SH", "CN-JS", "CN-ZJ", "CN-AH"), _NEAR) | dict.fromkeys(
    ("CN-XJ", "CN-XZ", "CN-QH", "CN-NM", "CN-HI"), _REMOTE
)


def zone_of(region: str) -> Zone:
    return _ZONES.get(region, _FAR)


def by_zone_and_weight(parcel: Parcel) -> int:
    """The shop's own rule. What weighs nothing is not sent by parcel."""
    zone = zone_of(parcel.region)
    if not parcel.weight_grams or parcel.goods_cents >= zone.free_from_cents:
        return 0
    begun_kg = -(-parcel.weight_grams // 1000)
    return zone.first_kg_cents + (begun_kg - 1) * zone.next_kg_cents


def freight_cents(parcel: Parcel) -> int:
    """What the rule of the settings says."""
    rule: Rule = import_string(settings.FREIGHT_RULE)
    return rule(parcel)
