"""A buyer's request for money back, answered once per Idempotency-Key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError

from common import idempotency
from common.errors import InvalidInput
from orders.models import RefundAnswer, RefundCase
from orders.services import cases
from orders.services.pricing import Wanted


def ask_back(
    *, order_no: str, buyer_id: int, wanted: Sequence[Wanted] | None, reason: str, key: str, now: datetime
) -> dict[str, Any]:
    """Open a refund case (see `cases.open_case`, also for what is raised) and return the answer to give.

    Raises: KeyReused: the key came with another request.
    """
    fingerprint = idempotency.fingerprint([order_no, wanted, reason])
    given = RefundAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
    if given is not None:
        return given.body_for(fingerprint)

    def remember(case: RefundCase) -> None:
        RefundAnswer.objects.create(
            buyer_id=buyer_id, key=key, fingerprint=fingerprint, body=_answer(case), answered_at=now
        )

    try:
        case = cases.open_case(
            order_no=order_no, buyer_id=buyer_id, wanted=_by_sku(wanted), reason=reason, now=now, also=remember
        )
    except (IntegrityError, cases.NothingLeft):
        # A twin may have been faster, and then it took what this one asks for.
        given = RefundAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
        if given is None:
            raise
        return given.body_for(fingerprint)
    return _answer(case)


def _answer(case: RefundCase) -> dict[str, Any]:
    return {
        "refund_no": case.refund_no,
        "amount_cents": case.amount_cents,
        "status_url": f"/api/orders/{case.order_id}/refunds",
    }


def _by_sku(wanted: Sequence[Wanted] | None) -> dict[str, int] | None:
    """Raises: InvalidInput."""
    if wanted is None:
        return None
    by_sku = dict(wanted)
    if len(by_sku) < len(wanted):
        raise InvalidInput("Every article has one line: add up its quantities.", field="lines")
    return by_sku
