"""The clock of the payment company: the system's, moved by an offset file when the demo lets 24 hours pass.

Layout of the file: one big-endian signed 64-bit integer, the offset in milliseconds. It is read at each question; a
missing file is an offset of 0. Times in messages are texts in China Standard Time: Alipay writes `2026-11-11 00:00:00`,
WeChat Pay `2026-11-11T00:00:00+08:00`.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

CHINA = timezone(timedelta(hours=8))
_FORMAT = "%Y-%m-%d %H:%M:%S"


class Clock:
    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset_file = offset_file

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000 + self._offset_ms()

    def _offset_ms(self) -> int:
        if self._offset_file is None:
            return 0
        try:
            return int.from_bytes(self._offset_file.read_bytes()[:8], "big", signed=True)
        except FileNotFoundError:
            return 0


def to_text(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, CHINA).strftime(_FORMAT)


def to_rfc3339(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms // 1000, CHINA).isoformat()


def from_rfc3339(text: str) -> int:
    """Epoch milliseconds.

    Raises: ValueError: no time with its zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text[:32]!r} does not say its zone")
    return int(moment.timestamp() * 1000)


def day_bounds_ms(day: str) -> tuple[int, int]:
    """First and first-after millisecond of a day in China.

    Raises: ValueError: the text is no `YYYY-MM-DD`.
    """
    begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=CHINA)
    return int(begin.timestamp() * 1000), int((begin + timedelta(days=1)).timestamp() * 1000)


def from_text(text: str) -> int:
    """Epoch milliseconds of a time in China Standard Time.

    Raises: ValueError: the text is no `YYYY-MM-DD hh:mm:ss`.
    """
    return int(datetime.strptime(text, _FORMAT).replace(tzinfo=CHINA).timestamp() * 1000)
