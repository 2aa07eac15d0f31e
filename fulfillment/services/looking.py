"""What several steps want to know: which units a parcel has, and when to look after it again."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from fulfillment.models import Shipment
from fulfillment.partners import client

#: Between two looks: so that a late parcel is not asked for all the time, and a wrong promise is noticed within a day.
_LOOK_EVERY_MIN, _LOOK_EVERY_MAX = timedelta(minutes=1), timedelta(days=1)


def units_of(shipment: Shipment) -> Counter[str]:
    """What is to arrive, by SKU, without what was stopped."""
    return +Counter({line.sku: line.quantity - line.stopped for line in shipment.lines.all()})


def look_at(ready_at_ms: int, now: datetime) -> datetime:
    """When to look again at what is expected to be ready then."""
    return min(max(client.moment(ready_at_ms), now + _LOOK_EVERY_MIN), now + _LOOK_EVERY_MAX)
