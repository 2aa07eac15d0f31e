"""The event loop everything here runs on: uvloop where there is one, else asyncio's own.

Nothing depends on uvloop but speed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def new_event_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """As `asyncio.run`, on the loop of our choice."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
