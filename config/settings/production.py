"""The shop in containers: every server and secret is named by the environment, and no clock can be moved."""

from __future__ import annotations

from config.errors import BadEnvironment
from config.settings.base import *  # noqa: F403  # settings are one namespace, as Django wants them
from config.settings.base import _environment

if len(_environment.secret_key or "") < 50:
    raise BadEnvironment("MILLRACE_SECRET_KEY must hold 50 random characters or more: deploy/make_secrets.py makes one")

SECRET_KEY = _environment.secret_key
CLOCK_OFFSET_FILE = None
