from __future__ import annotations


class CannotStart(Exception):
    """The shop cannot be started as things are; the sentence names the cause and the way out. Exit status 3."""
