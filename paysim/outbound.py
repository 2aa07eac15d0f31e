"""A callback on its way, in whatever dialect: what is posted, what a bad day changes about it, when it comes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from paysim.notifications import Notification


@dataclass(frozen=True)
class Twist:
    """What is wrong with a callback because a fault was asked for; normally nothing."""

    forged: bool = False
    wrong_amount: bool = False
    wrong_merchant: bool = False


@dataclass(frozen=True)
class Outbound:
    """One POST, byte for byte; a duplicate is the same bytes again."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Dialect(Protocol):
    """How callbacks are made and what counts as an answer."""

    #: Waits after the first attempt, the second, ...; after the last one the gateway gives up.
    retry_after_ms: tuple[int, ...]

    def compose(self, notification: Notification, twist: Twist, *, now_ms: int) -> Outbound: ...

    def is_accepted(self, status: int, body: bytes) -> bool: ...
