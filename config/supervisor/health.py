"""Asking a process whether it is alive: a few bytes in its own protocol, and a look at what it answers.

A process that hangs still has its sockets, and the system accepts connections for it; so an answer is what counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_ANSWER_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class Probe:
    """What to say to `address` (a unix socket, or host and port), and what is found in a live process's answer."""

    address: Path | tuple[str, int]
    request: bytes
    answer: bytes

    async def succeeds(self, *, timeout_s: float = 2.0) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._is_answered()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False

    async def _is_answered(self) -> bool:
        if isinstance(self.address, Path):
            reader, writer = await asyncio.open_unix_connection(self.address, limit=_ANSWER_BYTES_MAX)
        else:
            reader, writer = await asyncio.open_connection(*self.address, limit=_ANSWER_BYTES_MAX)
        try:
            writer.write(self.request)
            await reader.readuntil(self.answer)
            return True
        finally:
            writer.close()


def http(url: str) -> Probe:
    """A GET of the URL, answered with status 200."""
    parts = urlsplit(url)
    assert parts.hostname is not None, "the shop's own addresses are complete"
    request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    return Probe((parts.hostname, parts.port or 80), request.encode(), b"HTTP/1.1 200 ")
