"""The sender of callbacks: a task that posts what is due and writes down how it went.

What counts as delivered, and when an attempt follows, is a matter of the dialect. Faults strike here, one attempt at a
time. After a crash, whatever was not written down as delivered is sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import httpx

from paysim import faults, notifications
from paysim.clock import Clock
from paysim.config import NOTIFY_TIMEOUT_S
from paysim.database import Database
from paysim.faults import Kind
from paysim.notifications import Notification
from paysim.outbound import Dialect, Outbound, Twist

_LOG = logging.getLogger(__name__)
_IN_FLIGHT_MAX = 64
#: The clock may be moved at any moment, so somebody has to look.
_LOOK_EVERY_S = 0.2
_ANSWER_BYTES_MAX = 256


class Notifier:
    def __init__(self, database: Database, dialects: Mapping[str, Dialect], clock: Clock) -> None:
        self._database = database
        self._dialects = dialects
        self._clock = clock
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._http = httpx.AsyncClient(timeout=NOTIFY_TIMEOUT_S, follow_redirects=False, trust_env=False)

    def wake(self) -> None:
        """A payment was made: do not wait for the next look."""
        self._news.set()

    async def run(self) -> None:
        """Send until canceled."""
        try:
            while True:
                self._news.clear()
                await self._start_due()
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._in_flight.values():
                task.cancel()
            await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
            await self._http.aclose()

    async def _start_due(self) -> None:
        now_ms = self._clock.now_ms()
        for notification in await asyncio.to_thread(self._due, now_ms):
            if notification.notify_id not in self._in_flight and len(self._in_flight) < _IN_FLIGHT_MAX:
                task = asyncio.create_task(self._attempt(notification))
                self._in_flight[notification.notify_id] = task
                task.add_done_callback(self._finished(notification.notify_id))

    def _finished(self, notify_id: str) -> Callable[[asyncio.Task[None]], None]:
        def note(task: asyncio.Task[None]) -> None:
            del self._in_flight[notify_id]
            if not task.cancelled() and (error := task.exception()) is not None:
                _LOG.error("callback %s: %r", notify_id, error)

        return note

    def _due(self, now_ms: int) -> list[Notification]:
        with self._database.transaction() as db:
            return notifications.due(db, now_ms=now_ms, limit=2 * _IN_FLIGHT_MAX)

    async def _attempt(self, notification: Notification) -> None:
        now_ms = self._clock.now_ms()
        posts = await asyncio.to_thread(self._plan, notification, now_ms)
        if posts is None:
            return
        answer, is_accepted = "lost on its way", False
        for post in posts:
            answer, is_accepted = await self._post(post, self._dialects[notification.channel])
        await asyncio.to_thread(self._record, notification, answer, is_accepted, now_ms)

    def _plan(self, notification: Notification, now_ms: int) -> list[Outbound] | None:
        """What to post, after the faults had their say: normally one; None when it was postponed."""
        order = notification.out_trade_no
        with self._database.transaction() as db:
            if (delay_ms := faults.strike(db, Kind.DELAY, order)) is not None:
                notifications.postpone(db, notification.notify_id, until_ms=now_ms + delay_ms)
                return None
            if faults.strike(db, Kind.REORDER, order) is not None:
                notifications.hold(db, notification.notify_id, now_ms=now_ms)
                return None
            if faults.strike(db, Kind.DROP, order) is not None:
                return []
            twist = Twist(
                forged=faults.strike(db, Kind.FORGED_SIGNATURE, order) is not None,
                wrong_amount=faults.strike(db, Kind.WRONG_AMOUNT, order) is not None,
                wrong_merchant=faults.strike(db, Kind.WRONG_MERCHANT, order) is not None,
            )
            more = faults.strike(db, Kind.DUPLICATE, order) or 0
        return [self._dialects[notification.channel].compose(notification, twist, now_ms=now_ms)] * (1 + more)

    async def _post(self, post: Outbound, dialect: Dialect) -> tuple[str, bool]:
        """The answer for the book, and whether it is one that ends the series."""
        try:
            async with self._http.stream("POST", post.url, content=post.body, headers=post.headers) as response:
                body = b""
                async for chunk in response.aiter_bytes(_ANSWER_BYTES_MAX):
                    body = chunk[:_ANSWER_BYTES_MAX]
                    break
                return f"{response.status_code} {body.decode(errors='replace')}", dialect.is_accepted(
                    response.status_code, body
                )
        except httpx.HTTPError as error:
            return f"no answer: {type(error).__name__}", False

    def _record(self, notification: Notification, answer: str, is_accepted: bool, attempted_at_ms: int) -> None:
        with self._database.transaction() as db:
            notifications.record(
                db,
                notification,
                answer=answer,
                is_accepted=is_accepted,
                retry_after_ms=self._dialects[notification.channel].retry_after_ms,
                attempted_at_ms=attempted_at_ms,
            )
        self.wake()
