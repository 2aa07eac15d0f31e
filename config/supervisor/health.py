"""Asking a process over HTTP whether it can serve; three lines of HTTP, because nothing more is needed here."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


async def answers(url: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a GET of the URL is answered with status 200."""
    try:
        async with asyncio.timeout(timeout_s):
            return b" 200 " in await _status_line(url)
    except (OSError, TimeoutError):
        return False


async def _status_line(url: str) -> bytes:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        return await reader.readline()
    finally:
        writer.close()
