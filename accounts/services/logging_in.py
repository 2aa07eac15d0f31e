"""From a name and a password to a token."""

from __future__ import annotations

from django.contrib.auth.hashers import make_password

from accounts.models import User
from common import tokens
from common.errors import ShopError


class WrongLogin(ShopError):
    """The name or the password is wrong; which of them is not said."""

    code = "WRONG_LOGIN"
    http_status = 401


def log_in(*, username: str, password: str) -> str:
    """A token for the buyer.

    Raises: WrongLogin.
    """
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        make_password(password)  # Takes as long as a check, so that names cannot be found out by the clock.
    if user is None or not user.check_password(password):
        raise WrongLogin("The name or the password is wrong.")
    return tokens.issue(user.pk)
