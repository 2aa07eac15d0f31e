"""A buyer's addresses: added once per Idempotency-Key, changed and removed by whoever owns them.

A buyer with addresses has exactly one default among them. Whatever changes that locks the buyer first, so that two
requests in the same moment cannot leave two defaults, or more addresses than allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.models import Address, AddressAnswer, User
from common import idempotency, ids
from common.errors import InvalidInput, NotFound, ShopError
from common.regions import REGIONS

ADDRESS_COUNT_MAX = 20


class TooManyAddresses(ShopError):
    """The buyer has as many as one may have."""

    code = "TOO_MANY_ADDRESSES"


def add_address(*, buyer_id: int, details: Mapping[str, Any], key: str, now: datetime) -> dict[str, Any]:
    """Add an address, once per buyer and key, and return the answer to give; the first one is the default.

    Raises: InvalidInput: no such region; TooManyAddresses; KeyReused: the key came with another address before.
    """
    _check(details)
    fingerprint = idempotency.fingerprint(details)
    try:
        with transaction.atomic(using="accounts"):
            mine = _locked(buyer_id)
            given = AddressAnswer.objects.filter(buyer_id=buyer_id, key=key).first()
            if given is not None:
                return given.body_for(fingerprint)
            count = mine.count()
            if count >= ADDRESS_COUNT_MAX:
                raise TooManyAddresses(f"You have {ADDRESS_COUNT_MAX} addresses: remove one first.")
            new = Address(address_no=ids.new_number(ids.ADDRESS, now), buyer_id=buyer_id, created_at=now)
            _write(new, mine, {**details, "is_default": details["is_default"] or count == 0})
            answer = {"address_no": new.address_no}
            AddressAnswer.objects.create(
                buyer_id=buyer_id, key=key, fingerprint=fingerprint, body=answer, answered_at=now
            )
            return answer
    except IntegrityError:  # A twin of somebody who is no buyer: there is no row that both could have locked.
        return AddressAnswer.objects.get(buyer_id=buyer_id, key=key).body_for(fingerprint)


@transaction.atomic(using="accounts")
def change_address(*, buyer_id: int, address_no: str, details: Mapping[str, Any]) -> Address:
    """Make the address be as given. The default stays one: another takes over by being made it.

    Raises: NotFound: no such address of this buyer; InvalidInput: no such region.
    """
    _check(details)
    mine = _locked(buyer_id)
    address = _one(mine, address_no)
    _write(address, mine, {**details, "is_default": details["is_default"] or address.is_default})
    return address


@transaction.atomic(using="accounts")
def remove_address(*, buyer_id: int, address_no: str) -> None:
    """Remove it; of those left the newest takes over as the default.

    Raises: NotFound: no such address of this buyer.
    """
    mine = _locked(buyer_id)
    address = _one(mine, address_no)
    address.delete()
    if address.is_default and (heir := mine.order_by("-created_at", "address_no").first()):
        mine.filter(address_no=heir.address_no).update(is_default=True)


def _locked(buyer_id: int) -> QuerySet[Address]:
    """The buyer's addresses, which nobody else changes until the transaction ends."""
    User.objects.select_for_update().filter(pk=buyer_id).first()
    return Address.objects.filter(buyer_id=buyer_id)


def _one(mine: QuerySet[Address], address_no: str) -> Address:
    found = mine.filter(address_no=address_no).first() if ids.is_number(address_no, ids.ADDRESS) else None
    if found is None:
        raise NotFound("You have no such address.")
    return found


def _check(details: Mapping[str, Any]) -> None:
    if details["region"] not in REGIONS:
        raise InvalidInput("The shop delivers to no such region.", field="region", regions=sorted(REGIONS))


def _write(address: Address, mine: QuerySet[Address], details: Mapping[str, Any]) -> None:
    if details["is_default"]:
        mine.exclude(address_no=address.address_no).filter(is_default=True).update(is_default=False)
    for name, value in details.items():
        setattr(address, name, value)
    address.save()
