"""Effects at most a few times: the weak form of the inbox, for what is cheap and cannot be in a transaction anyway.

The mark lies in Redis and expires. While a handler is at it, the mark is a lease; done, it says so; failed, it is taken
away, and the message is tried again as any other. What it cannot promise, and the inbox can:

    it dies between the effect and the mark    the lease runs out, and the effect happens once more
    Redis loses its memory, or time runs out   a message that comes again has its effect again
    the handler's own answers                  there are none: nothing would keep them until they are sent
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import redis
from django.conf import settings
from django.db import OperationalError

from messaging.deliveries import Delivery

#: Longer than a handler may take, and what a crash costs until somebody else may try.
LEASE_S: Final = 60
#: Longer than the broker keeps a message that could come again.
KEPT_S: Final = 4 * 86_400
_TIMEOUT_S: Final = 2.0
_DOING, _DONE = b"doing", b"done"


class Busy(Exception):
    """Somebody else is at it, or was when it died: once the lease has run out, it is tried again."""


def apply(run: Sequence[Delivery]) -> None:
    """Let one consumer's deliveries have their effect, those that are not marked as done.

    Raises: OperationalError: Redis is away, and no message is to blame; Busy; whatever the handler raises.
    """
    try:
        for delivery in run:
            _apply(delivery)
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise OperationalError(f"Redis, where the marks are, does not answer: {error}") from error


def _apply(delivery: Delivery) -> None:
    marks, key = _marks(settings.REDIS_URL), f"millrace:seen:{delivery.consumer.group}:{delivery.key}"
    if not marks.set(key, _DOING, nx=True, ex=LEASE_S):
        if marks.get(key) == _DONE:
            return
        raise Busy(key)
    try:
        delivery.consumer.handle([delivery.event])
    except BaseException:
        marks.delete(key)  # Without this the next try would take the failure for a success.
        raise
    marks.set(key, _DONE, ex=KEPT_S)


@cache
def _marks(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)


def close_connections() -> None:
    """End this process's connections to Redis; the next message makes new ones."""
    if _marks.cache_info().currsize:
        _marks(settings.REDIS_URL).close()
        _marks.cache_clear()
