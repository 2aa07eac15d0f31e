"""Accounts for buyers."""

from __future__ import annotations

from accounts.models import User


def put_buyer(*, username: str, password: str) -> int:
    """Make the buyer exist and have this password; the buyer's id."""
    user = User.objects.filter(username=username).first() or User(username=username)
    user.set_password(password)
    user.save()
    buyer_id: int = user.pk
    return buyer_id
