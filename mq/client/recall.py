"""The handle by which a timed message is taken back before its time.

Layout: URL-safe base64 of `v1 topic broker deliverMs uniqueId`, separated by blanks.
Source: RocketMQ RecallMessageHandle.java; remoting sheet 8.4.
"""

from __future__ import annotations

import base64
import binascii

from mq.errors import InvalidMessage


def broker_of_handle(recall_handle: str) -> str:
    """The broker that holds the message. Raises: InvalidMessage: not a handle that we know how to read."""
    try:
        words = base64.urlsafe_b64decode(recall_handle.encode()).decode().split(" ")
    except (binascii.Error, UnicodeError) as error:
        raise InvalidMessage(f"{recall_handle[:200]!r} is no recall handle: {error}") from error
    if len(words) != 5 or words[0] != "v1":
        raise InvalidMessage(f"{recall_handle[:200]!r} is no recall handle of version 1")
    return words[2]
