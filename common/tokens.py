"""Who is asking: bearer tokens that any service can check without asking accounts.

A token is the buyer's id and the moment of its making, signed with the shop's secret (django.core.signing). It cannot
be revoked, so it is short-lived. Its age is real time: a demo that moves the shop's clock logs nobody out.
"""

from __future__ import annotations

from datetime import timedelta

from django.core import signing
from django.http import HttpRequest
from ninja.security import HttpBearer

from common.errors import NotAuthenticated

TOKEN_LIFETIME = timedelta(hours=12)
_SALT = "millrace.buyer"
_MAX_TOKEN_CHARACTERS = 200


def issue(buyer_id: int) -> str:
    return signing.dumps(buyer_id, salt=_SALT)


def read(token: str) -> int:
    """The buyer's id.

    Raises: NotAuthenticated: the token is none of ours, or older than `TOKEN_LIFETIME`.
    """
    try:
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise signing.BadSignature
        buyer_id = signing.loads(token, salt=_SALT, max_age=TOKEN_LIFETIME)
    except signing.BadSignature:  # An expired signature is a bad one, too.
        raise NotAuthenticated("Please log in: the token is missing, wrong or too old.") from None
    assert isinstance(buyer_id, int)
    return buyer_id


class BuyerToken(HttpBearer):
    """Ninja's `auth=`: the view finds the buyer's id in `request.auth`."""

    def authenticate(self, request: HttpRequest, token: str) -> int:
        return read(token)


def buyer_id(request: HttpRequest) -> int:
    """The buyer that `BuyerToken` found."""
    found: int = request.auth  # type: ignore[attr-defined]  # set by ninja
    return found
