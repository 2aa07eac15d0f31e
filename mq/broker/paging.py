"""Tables of topics and groups in pages: a tool asks for the next one while the total says that there is more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

#: Entries in one answer.
PAGE_SIZE: Final = 2000
Item = TypeVar("Item")


def page(table: Mapping[str, Item], seq: int | None, count: int | None) -> dict[str, Item]:
    """One page in the order of names; everything for tools that ask without saying where to start."""
    if seq is None:
        return dict(table)
    names = sorted(table)[max(seq, 0) : max(seq, 0) + min(max(count or PAGE_SIZE, 1), PAGE_SIZE)]
    return {name: table[name] for name in names}
