"""What a buyer sends back: the carrier fetches it, and is asked again when it should be in the warehouse."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime

from common.backoff import retry_at
from fulfillment.messages import FetchReturn, ReturnReceived
from fulfillment.models import ReturnParcel
from fulfillment.partners import client
from fulfillment.partners.client import Parcel, Unavailable
from fulfillment.services import looking
from messaging.events import Delayed, Outgoing

_LOG = logging.getLogger(__name__)
_R = ReturnParcel.Status


def expect(*, refund_no: str, order_no: str, units: Mapping[str, int], now: datetime) -> FetchReturn:
    """Write down what is to come; what is returned has it fetched. Needs a transaction."""
    ReturnParcel.objects.get_or_create(
        refund_no=refund_no, defaults={"order_no": order_no, "units": dict(units), "expected_at": now}
    )
    return FetchReturn(order_no=order_no, refund_no=refund_no)


def ask_carrier(command: FetchReturn) -> Parcel | None:
    """Have it fetched, or ask where it is; None: no answer, or it is here."""
    parcel = ReturnParcel.objects.get(refund_no=command.refund_no)
    if parcel.status == _R.RECEIVED:
        return None
    try:
        return (
            client.track(tracking_no=parcel.tracking_no)
            if parcel.tracking_no
            else client.fetch(reference=parcel.refund_no)
        )
    except Unavailable as error:
        _LOG.warning("return %s: %s", parcel.refund_no, error)
        return None


def settle(command: FetchReturn, answer: Parcel | None, *, now: datetime) -> list[Outgoing]:
    """Needs a transaction."""
    parcel = ReturnParcel.objects.select_for_update().get(refund_no=command.refund_no)
    if parcel.status == _R.RECEIVED:
        return []
    again = FetchReturn(order_no=command.order_no, refund_no=command.refund_no, attempt=command.attempt + 1)
    if answer is None:
        return [Delayed(again, retry_at(command.attempt, now))]
    parcel.tracking_no, parcel.status = answer.tracking_no, _R.ON_ITS_WAY
    if answer.state == "DELIVERED":
        parcel.status, parcel.received_at = _R.RECEIVED, now
    parcel.save(update_fields=["tracking_no", "status", "received_at"])
    if parcel.status == _R.RECEIVED:
        return [ReturnReceived(order_no=parcel.order_no, version=1, refund_no=parcel.refund_no)]
    return [Delayed(again, looking.look_at(answer.ready_at_ms, now))]
