"""One connection, seen from either end: requests go to handlers, responses to whoever waits, frames out in batches.

What happens to a frame: the codec makes it a command; the response bit tells whether it answers one of our requests
(matched by `opaque`) or asks for something. A request is handled in the turn of the loop in which it arrived, without a
task of its own; a handler that cannot answer at once returns None and sends later, or is a coroutine function.

Frames to send are gathered and written once per turn of the loop: under load one write carries many answers, which
also wakes the peer once for all of them. When much has gathered it is written before the turn ends, so that the peer
begins its work while we still do ours. A send (decode, typed header, prepared answer) takes 3.1 us of a core with 64
under way on one connection, 7.5 us with one on each of 64: there the difference is system calls.

Limits, all in `ConnectionLimits`: a server does not read from a peer that does not read its answers, so requests cannot
pile up; a frame must be complete in time; silence ends a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mq.errors import (
    ConnectionLost,
    InvalidMessage,
    LocalProtocolError,
    MessageTooLarge,
    ProtocolError,
    RemoteProtocolError,
    RequestTimeout,
    ResponseError,
    StoreNotWritable,
)
from mq.message import Host
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.codes import ResponseCode
from mq.remoting.command import FLAG_ONEWAY, FLAG_RESPONSE, RemotingCommand

logger = logging.getLogger(__name__)

Handler = Callable[["Connection", RemotingCommand], "RemotingCommand | Awaitable[RemotingCommand | None] | None"]
#: Raises to refuse a request, before anybody looks at it.
Guard = Callable[["Connection", RemotingCommand], None]
#: Signs a request that is about to be sent.
RequestHook = Callable[[RemotingCommand], None]
CloseListener = Callable[["Connection"], None]

#: Some thirty sends of 500 bytes: with 64 under way our client got from 36,000 to 49,000 per second by it.
_WRITE_AT_BYTES: Final = 16 << 10
_ONEWAY_ANSWER: Final = FLAG_RESPONSE | FLAG_ONEWAY


@dataclass(frozen=True)
class ConnectionLimits:
    """What a peer may cost. Units: seconds, bytes."""

    header_timeout_s: float = 10.0
    frame_timeout_s: float = 120.0
    idle_timeout_s: float = 120.0
    #: So many requests are handled in one turn of the loop; then it is the others' turn first.
    requests_per_turn: int = 64
    #: Above this many unsent bytes the peer's requests wait until it has read some.
    unsent_bytes_high: int = 4 << 20
    #: Above this many the connection is closed: the peer stopped reading long ago.
    unsent_bytes_max: int = 64 << 20


class Connection(asyncio.Protocol):
    """Both ends of the protocol on one socket; made by `RemotingServer` and `RemotingClient`."""

    def __init__(
        self,
        handlers: Mapping[int, Handler],
        *,
        limits: ConnectionLimits | None = None,
        on_open: Callable[[Connection], None] | None = None,
        on_close: CloseListener | None = None,
        throttles: bool = False,
        guard: Guard | None = None,
        on_request: RequestHook | None = None,
    ) -> None:
        """`throttles`: a peer that does not read is not read from. For servers: two ends that both did so could wait
        for each other, and a client that goes on reading answers is what lets both move.
        """
        self._handlers = handlers
        self._throttles = throttles
        self._guard = guard
        self.on_request = on_request
        self._limits = limits or ConnectionLimits()
        self._on_open = on_open
        self._close_listeners: list[CloseListener] = [on_close] if on_close else []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder()
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._is_peer_slow = False
        self._writers: list[asyncio.Future[None]] = []
        self._parked: deque[RemotingCommand] = deque()
        self._is_turn_over = False
        self._pending: dict[int, tuple[asyncio.Future[RemotingCommand], float]] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._next_opaque = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_read_s = self._loop.time()
        self._frame_began_s = self._last_read_s
        self.remote = Host("", 0)
        self.local = Host("", 0)
        self.is_closed = False
        #: The peer has sent a binary header, so it reads them: our own requests to it use that form too.
        self.speaks_binary = False
        #: For the owners of handlers: what they know about this peer.
        self.attributes: dict[str, Any] = {}

    # Asyncio calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not an assertion: uvloop's transport does not inherit asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        self.remote = Host(*(transport.get_extra_info("peername") or ("", 0))[:2])
        self.local = Host(*(transport.get_extra_info("sockname") or ("", 0))[:2])
        transport.set_write_buffer_limits(high=self._limits.unsent_bytes_high)
        if self._on_open is not None:
            self._on_open(self)

    def data_received(self, data: bytes) -> None:
        now_s = self._last_read_s = self._loop.time()
        if not self._decoder.wanted_bytes:
            self._frame_began_s = now_s
        try:
            commands = self._decoder.feed(data)
        except RemoteProtocolError as error:
            logger.info("closing %s: %s", self.remote, error)
            self.abort()
            return
        if commands:
            self._frame_began_s = now_s
            self._process(commands)

    def pause_writing(self) -> None:
        self._is_peer_slow = True
        if self._throttles and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_peer_slow = False
        self._wake_writers()
        self._process_parked()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._unsent.clear()
        self._parked.clear()
        if self._expiry is not None:
            self._expiry.cancel()
        pending, self._pending = self._pending, {}
        for future, _ in pending.values():
            if not future.done():
                future.set_exception(ConnectionLost(f"the connection to {self.remote} closed before the answer came"))
        self._wake_writers()
        for listener in self._close_listeners:
            listener(self)

    # For everybody

    @property
    def is_congested(self) -> bool:
        """Whether so much is unsent that whoever has more to send should await `drained` first."""
        return self._is_peer_slow

    async def drained(self) -> None:
        """Return when the connection is no longer congested, or closed."""
        while self.is_congested and not self.is_closed:
            writer = self._loop.create_future()
            self._writers.append(writer)
            await writer

    def fileno(self) -> int:
        """The socket's file descriptor, -1 when there is none."""
        socket = self._transport.get_extra_info("socket") if self._transport is not None else None
        return -1 if socket is None else int(socket.fileno())

    def add_close_listener(self, listener: CloseListener) -> None:
        """Call `listener` once when the connection is gone; right away when it is gone already."""
        if self.is_closed:
            listener(self)
        else:
            self._close_listeners.append(listener)

    def send(self, command: RemotingCommand) -> None:
        """Send a response, or a one-way request: it gets an `opaque` and the header form the peer speaks.

        Answers to one-way requests and everything after the connection closed are dropped.
        """
        if self.is_closed or command.flag & _ONEWAY_ANSWER == _ONEWAY_ANSWER:
            return
        if not command.flag & FLAG_RESPONSE:
            self._address_request(command)
        self.send_frame(encode(command))

    def send_oneway(self, command: RemotingCommand) -> None:
        """Send a request that nobody answers."""
        command.flag |= FLAG_ONEWAY
        self.send(command)

    def send_frame(self, frame: bytes) -> None:
        """Send bytes that are a whole frame already: what prepared answers use."""
        if self.is_closed:
            return
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(frame)
        self._unsent_bytes += len(frame)
        if self._unsent_bytes > _WRITE_AT_BYTES:
            self._flush()

    def call(self, command: RemotingCommand, timeout_s: float) -> asyncio.Future[RemotingCommand]:
        """Send a request; the future gets the answer, `ConnectionLost` or `RequestTimeout`."""
        future: asyncio.Future[RemotingCommand] = self._loop.create_future()
        if self.is_closed:
            future.set_exception(ConnectionLost(f"the connection to {self.remote} is closed"))
            return future
        self._address_request(command)
        deadline_s = self._loop.time() + timeout_s
        self._pending[command.opaque] = future, deadline_s
        if self._expiry is None or deadline_s < self._expiry.when():
            self._expire_at(deadline_s)
        self.send_frame(encode(command))
        return future

    async def invoke(self, command: RemotingCommand, timeout_s: float = 3.0) -> RemotingCommand:
        """Send a request and wait for the answer, whatever its code.

        Raises: ConnectionLost, RequestTimeout: no answer came; the connection is kept after a timeout.
        """
        future = self.call(command, timeout_s)
        try:
            return await future
        finally:
            self._pending.pop(command.opaque, None)

    def close(self) -> None:
        """Send what is waiting, then close."""
        if self._transport is not None and not self.is_closed:
            self._flush()
            self._transport.close()

    def abort(self) -> None:
        """Close now; what is waiting is lost."""
        self.is_closed = True
        if self._transport is not None:
            self._transport.abort()

    def check_liveness(self, now_s: float) -> None:
        """Close a peer that sends nothing or too slowly; servers and clients call this every second or so."""
        limits, decoder = self._limits, self._decoder
        if now_s - self._last_read_s > limits.idle_timeout_s:
            self._give_up("silent for too long")
        elif decoder.wanted_bytes and not self._is_peer_slow:
            allowed_s = limits.frame_timeout_s if decoder.has_header else limits.header_timeout_s
            if now_s - self._frame_began_s > allowed_s:
                self._give_up("its frame does not come to an end")

    # Inside

    def _give_up(self, reason: str) -> None:
        logger.info("closing %s: %s", self.remote, reason)
        self.abort()

    def _address_request(self, command: RemotingCommand) -> None:
        self._next_opaque = self._next_opaque % 0x7FFFFFFF + 1
        command.opaque = self._next_opaque
        command.is_binary = self.speaks_binary
        if self.on_request is not None:
            self.on_request(command)

    def _process(self, commands: list[RemotingCommand]) -> None:
        for position, command in enumerate(commands):
            if command.flag & FLAG_RESPONSE:
                self._complete(command)
            elif self._throttles and (self._parked or self._is_peer_slow):
                self._parked.extend(commands[position:])
                return
            elif self._throttles and position >= self._limits.requests_per_turn:
                self._parked.extend(commands[position:])
                self._end_turn()
                return
            else:
                self._handle(command)

    def _end_turn(self) -> None:
        """Go on in the next turn, and read nothing more until all that came is handled: the network makes it wait."""
        self._is_turn_over = True
        if self._transport is not None and not self.is_closed:
            self._transport.pause_reading()
        self._loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_turn_over = False
        self._process_parked()

    def _process_parked(self) -> None:
        """Go on with requests that waited for the peer to read or for their turn; when none is left, read again."""
        if self._is_turn_over:
            return
        handled = 0
        while self._parked and not self._is_peer_slow:
            if handled >= self._limits.requests_per_turn:
                self._end_turn()
                return
            handled += 1
            command = self._parked.popleft()
            if command.flag & FLAG_RESPONSE:
                self._complete(command)
            else:
                self._handle(command)
        if not self._parked and not self._is_peer_slow and self._transport is not None and not self.is_closed:
            self._transport.resume_reading()

    def _handle(self, command: RemotingCommand) -> None:
        if command.is_binary:
            self.speaks_binary = True
        try:
            if self._guard is not None:
                self._guard(self, command)
            handler = self._handlers.get(command.code)
            if handler is None:
                raise ResponseError(
                    ResponseCode.REQUEST_CODE_NOT_SUPPORTED, f"request code {command.code} is not supported"
                )
            answer = handler(self, command)
        except Exception as error:
            self.send(_refusal(command, error))
            return
        if isinstance(answer, RemotingCommand):
            self._answer(command, answer)
        elif answer is not None:
            task = self._loop.create_task(self._answer_later(command, answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, command: RemotingCommand, answer: Awaitable[RemotingCommand | None]) -> None:
        try:
            response = await answer
        except Exception as error:
            response = _refusal(command, error)
        if response is not None:
            self._answer(command, response)

    def _answer(self, command: RemotingCommand, answer: RemotingCommand) -> None:
        """An answer that no frame can carry is refused in words: the requests beside it are not to suffer."""
        try:
            self.send(answer)
        except LocalProtocolError as error:
            logger.error("the answer to request code %d cannot be sent: %s", command.code, error)
            self.send(_refusal(command, error))

    def _complete(self, response: RemotingCommand) -> None:
        waiting = self._pending.pop(response.opaque, None)
        if waiting is not None and not waiting[0].done():
            waiting[0].set_result(response)

    def _flush(self) -> None:
        if not self._unsent or self._transport is None:
            return
        frames, self._unsent = self._unsent, []
        self._unsent_bytes = 0
        self._transport.write(frames[0] if len(frames) == 1 else b"".join(frames))
        if self._transport.get_write_buffer_size() > self._limits.unsent_bytes_max:
            self._give_up("it does not read what it asked for")

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)

    def _expire_at(self, deadline_s: float) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = self._loop.call_at(deadline_s, self._expire)

    def _expire(self) -> None:
        """One timer for all waiting requests, set to the earliest deadline: a timer each costs a microsecond more."""
        self._expiry = None
        now_s = self._loop.time()
        for opaque, (future, deadline_s) in list(self._pending.items()):
            if deadline_s <= now_s:
                del self._pending[opaque]
                if not future.done():
                    future.set_exception(RequestTimeout(f"{self.remote} did not answer in time"))
        if self._pending:
            self._expire_at(min(deadline_s for _, deadline_s in self._pending.values()))


def _refusal(command: RemotingCommand, error: Exception) -> RemotingCommand:
    """The answer that tells the peer what went wrong; only a surprise is worth a line in our log."""
    if isinstance(error, ResponseError):
        return command.respond(error.code, error.remark)
    if isinstance(error, InvalidMessage | MessageTooLarge):
        return command.respond(ResponseCode.MESSAGE_ILLEGAL, str(error))
    if isinstance(error, StoreNotWritable):
        return command.respond(ResponseCode.SERVICE_NOT_AVAILABLE, str(error))
    if not isinstance(error, ProtocolError):
        logger.error("request code %d failed", command.code, exc_info=error)
    return command.respond(ResponseCode.SYSTEM_ERROR, f"{type(error).__name__}: {error}")


async def close_all(connections: Iterable[Connection], patience_s: float = 1.0) -> None:
    """Close every connection; what is waiting to be sent gets `patience_s` seconds to leave."""
    closing = list(connections)
    closed = asyncio.Event()

    def note(_: Connection) -> None:
        if all(connection.is_closed for connection in closing):
            closed.set()

    for connection in closing:
        connection.add_close_listener(note)
        connection.close()
    if closing:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(closed.wait(), patience_s)
    for connection in closing:
        connection.abort()
