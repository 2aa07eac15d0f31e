"""The shop on one machine: embedded servers, loopback only, a clock that the demo may move."""

from __future__ import annotations

from django.utils.functional import lazystr

from config import data_directory
from config.settings.base import *  # noqa: F403  # settings are one namespace, as Django wants them
from config.settings.base import MILLRACE_DATA, _environment


class _KeyOfDataDirectory:
    """Read when first used: commands that sign nothing (`status`, `down`) must not make a data directory."""

    def __str__(self) -> str:
        return data_directory.secret_key(MILLRACE_DATA)


SECRET_KEY = _environment.secret_key or lazystr(_KeyOfDataDirectory())
