"""The user's handler: what it may be, how it is called, and what its answer means."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from mq.client.results import RETRY_LATER, SUCCESS, ConsumeResult
from mq.message import ReceivedMessage

logger = logging.getLogger(__name__)

#: A plain function (run in a thread) or an `async def` (run on the loop); what it raises means "again, later".
Handler = Callable[[list[ReceivedMessage]], ConsumeResult | Awaitable[ConsumeResult | None] | None]
PlainHandler = Callable[[list[ReceivedMessage]], ConsumeResult | None]
AsyncHandler = Callable[[list[ReceivedMessage]], Awaitable[ConsumeResult | None]]

#: What a handler made of a batch: its answer, or what it raised.
Outcome = ConsumeResult | Exception


def is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004 - an object with an async __call__


def call(handler: Handler, messages: list[ReceivedMessage]) -> Outcome:
    """Whatever the handler raises is its own affair: it is logged with the message, which is consumed again."""
    try:
        return _checked(cast(PlainHandler, handler)(messages))
    except Exception as error:
        return error
    except BaseException as error:  # SystemExit: in a thread of ours it would end that thread, and nobody would hear.
        return _wrapped(error)


async def call_async(handler: Handler, messages: list[ReceivedMessage]) -> Outcome:
    """As `call`."""
    try:
        return _checked(await cast(AsyncHandler, handler)(messages))
    except Exception as error:
        return error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise  # It is we who were canceled, not something inside the handler.
        return _wrapped(error)


def settle(group: str, messages: list[ReceivedMessage], outcome: Outcome) -> ConsumeResult:
    """The answer of a handler, an exception being logged once, here, and turned into RETRY_LATER."""
    if isinstance(outcome, ConsumeResult):
        return outcome
    first = messages[0]
    logger.error(
        "group %s: the handler raised for message %s (topic %s, queue %s at %s, keys %s, try %d); it comes back",
        group, first.message_id, first.topic, first.queue_id, first.queue_offset, first.keys, first.reconsume_times + 1,
        exc_info=outcome,
    )  # fmt: skip
    return RETRY_LATER


def _checked(answer: ConsumeResult | None) -> ConsumeResult:
    if answer is None:
        return SUCCESS
    if not isinstance(answer, ConsumeResult):
        raise TypeError(f"the handler returned {answer!r}: expected a ConsumeResult, or None for success")
    return answer


def _wrapped(error: BaseException) -> Exception:
    wrapped = RuntimeError(f"the handler ended with {error!r}")
    wrapped.__cause__ = error
    return wrapped
