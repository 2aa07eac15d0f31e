from __future__ import annotations

from typing import ClassVar


class CannotStart(Exception):
    """A command cannot do its work as things are; the sentence names the cause and the way out.

    `manage.py` prints the sentence, without a traceback, and ends with `exit_status`.
    """

    #: The environment is not as it must be; somebody has to change it first.
    exit_status: ClassVar[int] = 3


class BadEnvironment(CannotStart):
    """A variable of the environment makes no sense; the sentence names it and never shows what may be a password."""


class DataDirectoryUnusable(CannotStart):
    """The data directory cannot be read or written, or something in it is damaged."""
