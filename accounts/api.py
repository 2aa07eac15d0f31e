"""Accounts over HTTP: log in, look at what one has, and say where to send things.

POST   /api/login                    a name and a password for a bearer token
GET    /api/me                       who the token belongs to, the buyer's points and money
GET    /api/me/balance               the buyer's side of the balance ledger, newest first
GET    /api/addresses                the buyer's addresses, the default first
POST   /api/addresses                a new one, with an Idempotency-Key
PUT    /api/addresses/{address_no}   the whole address, anew; again, and it is the same
DELETE /api/addresses/{address_no}   what is left; somebody else's is not found, here and above
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import ConfigDict, Field

from accounts import queries
from accounts.models import Address, BalanceEntry
from accounts.queries import Account
from accounts.services import addresses, logging_in
from common import tokens
from common.clock import now
from common.idempotency import KeyHeader

router = Router(tags=["accounts"])
_buyer = tokens.BuyerToken()

#: What people write: anything but control characters, and not only spaces.
_LINE = r"^\S[^\x00-\x1f\x7f]*$"


class Login(Schema):
    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    #: Hashing takes long, and longer for long passwords.
    password: Annotated[str, Field(min_length=1, max_length=128)]


class Token(Schema):
    token: str


class Me(Schema):
    username: str
    points: int
    balance_cents: int
    #: Of orders that wait to be paid.
    held_cents: int


class Entry(Schema):
    reference: str
    kind: str
    account: str
    cents: int
    entered_at: datetime


class Entries(Schema):
    entries: list[Entry]


class AddressDetails(Schema):
    model_config = ConfigDict(extra="forbid")

    recipient: Annotated[str, Field(max_length=64, pattern=_LINE)]
    phone: Annotated[str, Field(pattern=r"^\+?[0-9][0-9 -]{4,18}$")]
    region: Annotated[str, Field(pattern=r"^CN-[A-Z]{2}$")]
    city: Annotated[str, Field(max_length=64, pattern=_LINE)]
    street: Annotated[str, Field(max_length=200, pattern=_LINE)]
    is_default: Annotated[bool, Field(strict=True)] = False


class AddressView(Schema):
    address_no: str
    recipient: str
    phone: str
    region: str
    city: str
    street: str
    is_default: bool


class Addresses(Schema):
    addresses: list[AddressView]


class Added(Schema):
    address_no: str


@router.post("/login", response=Token)
def login(request: HttpRequest, login: Login) -> dict[str, str]:
    return {"token": logging_in.log_in(username=login.username, password=login.password)}


@router.get("/me", response=Me, auth=_buyer)
def me(request: HttpRequest) -> Account:
    return queries.account_of(tokens.buyer_id(request))


@router.get("/me/balance", response=Entries, auth=_buyer)
def balance(
    request: HttpRequest, limit: Annotated[int, Query(ge=1, le=queries.ENTRY_COUNT_MAX)] = 20
) -> dict[str, list[BalanceEntry]]:
    return {"entries": queries.balance_entries(tokens.buyer_id(request), limit=limit)}


@router.get("/addresses", response=Addresses, auth=_buyer)
def list_addresses(request: HttpRequest) -> dict[str, list[Address]]:
    return {"addresses": queries.addresses_of(tokens.buyer_id(request))}


@router.post("/addresses", response={201: Added}, auth=_buyer)
def add_address(request: HttpRequest, address: AddressDetails, key: KeyHeader) -> Status[dict[str, Any]]:
    buyer_id = tokens.buyer_id(request)
    return Status(201, addresses.add_address(buyer_id=buyer_id, details=address.dict(), key=key, now=now()))


@router.put("/addresses/{slug:address_no}", response=AddressView, auth=_buyer)
def change_address(request: HttpRequest, address_no: str, address: AddressDetails) -> Address:
    buyer_id = tokens.buyer_id(request)
    return addresses.change_address(buyer_id=buyer_id, address_no=address_no, details=address.dict())


@router.delete("/addresses/{slug:address_no}", response=Addresses, auth=_buyer)
def remove_address(request: HttpRequest, address_no: str) -> dict[str, list[Address]]:
    buyer_id = tokens.buyer_id(request)
    addresses.remove_address(buyer_id=buyer_id, address_no=address_no)
    return {"addresses": queries.addresses_of(buyer_id)}
