"""What a person does with parked messages, at a terminal or at the staff's pages; written down before it is done."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from messaging import audit, parking
from messaging.audit import Operator
from messaging.models import OperatorAction, ParkedMessage
from messaging.redrive import redriving
from messaging.registry import registry


class Place(NamedTuple):
    """Where messages wait one behind the other."""

    service: str
    group: str
    sharding_key: str


def redrive(places: Iterable[Place], operator: Operator) -> int:
    """Try again what waits at these places, in order; how many messages had their effect.

    A deed that is found without an outcome was interrupted.

    Raises: MQError: the queue does not answer.
    """
    begun = []
    for place in places:
        importlib.import_module(f"{place.service}.consumers")
        first = parking.first_of(*place)
        if first is not None:
            begun.append((place, operator.begins(OperatorAction.Action.REDRIVE, place.service, first)))
    counts = asyncio.run(_retry([place for place, _ in begun]))
    for (_, deed), count in zip(begun, counts, strict=True):
        audit.ended(deed, effect_count=count)
    return sum(counts)


def discard(place: Place, operator: Operator) -> ParkedMessage | None:
    """Give up the first message that waits there, those behind it go on; None when nothing waits.

    Its body is kept with the deed.
    """
    with transaction.atomic(using=place.service):
        first = parking.first_of(*place)
        if first is not None:
            audit.ended(operator.begins(OperatorAction.Action.DISCARD, place.service, first), effect_count=0)
            parking.take_out(place.service, first)
    return first


async def _retry(places: list[Place]) -> list[int]:
    async with redriving(registry=registry, namesrv=settings.MQ_NAMESRV_ADDR) as redrive:
        return [await redrive.retry(*place) for place in places]
