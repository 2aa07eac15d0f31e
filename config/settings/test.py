"""Settings of the test suite: the databases are those of the session's own PostgreSQL (see conftest.py at the root)."""

from __future__ import annotations

from config.environment import SERVICES
from config.settings.base import *  # noqa: F403  # settings are one namespace, as Django wants them

SECRET_KEY = "only-for-tests"
CLOCK_OFFSET_FILE = None
#: Hashing a password is slow on purpose, and tests log in often.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DATABASES = {"default": {}} | {
    service: {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": service,
        "USER": "postgres",
        "TEST": {"DEPENDENCIES": []},
    }
    for service in SERVICES
}
