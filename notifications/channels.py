"""The ways to reach a buyer. These write what they would have sent to a file, one JSON object a line.

Layout: `<outbox>/<channel>.jsonl`, objects of `key`, `buyer_id` and `text`. A file `<channel>.fault.json` beside it
makes the channel misbehave for as long as it is there: `{"is_failing": true}` or `{"delay_ms": 500}`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings

_DELAY_MS_MAX: Final = 10_000


class ChannelDown(Exception):
    """The provider did not take it: it has to be sent again."""


class Fault(msgspec.Struct, frozen=True):
    is_failing: bool = False
    delay_ms: int = 0


class Note(msgspec.Struct, frozen=True):
    """Words for one buyer; `key` names the event that they are about."""

    key: str
    buyer_id: int
    text: str


def outbox(channel: str) -> Path:
    path: Path = settings.NOTIFICATIONS_OUTBOX / f"{channel}.jsonl"
    return path


def fault_file(channel: str) -> Path:
    return outbox(channel).with_suffix(".fault.json")


def send(channel: str, note: Note) -> None:
    """Hand one note to the provider.

    Raises: ChannelDown.
    """
    _misbehave(channel)
    path = outbox(channel)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # One write to a file opened for appending: lines of several processes never mix.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, msgspec.json.encode(note) + b"\n")
    finally:
        os.close(file)


def _misbehave(channel: str) -> None:
    try:
        fault = msgspec.json.decode(fault_file(channel).read_bytes(), type=Fault)
    except FileNotFoundError:
        return
    time.sleep(min(fault.delay_ms, _DELAY_MS_MAX) / 1000)
    if fault.is_failing:
        raise ChannelDown(f"{channel} fails (a fault that was asked for)")
