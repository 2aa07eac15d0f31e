"""Accounts over HTTP: log in, and look at what one has.

POST /api/login   a name and a password for a bearer token
GET  /api/me      who the token belongs to, and the buyer's points
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from accounts import queries
from accounts.queries import Account
from accounts.services import logging_in
from common import tokens

router = Router(tags=["accounts"])


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


@router.post("/login", response=Token)
def login(request: HttpRequest, login: Login) -> dict[str, str]:
    return {"token": logging_in.log_in(username=login.username, password=login.password)}


@router.get("/me", response=Me, auth=tokens.BuyerToken())
def me(request: HttpRequest) -> Account:
    return queries.account_of(tokens.buyer_id(request))
