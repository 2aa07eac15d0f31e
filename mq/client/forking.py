"""Whether this process was forked since something was started: a loop, its sockets and its threads stay behind.

Asking costs a comparison, not a system call per message.
"""

from __future__ import annotations

import os

_generation = 0


def generation() -> int:
    """A number that differs between a process and its forked children."""
    return _generation


def _count() -> None:
    global _generation
    _generation += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)
