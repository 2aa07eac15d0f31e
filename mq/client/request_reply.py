"""Asking by message and getting an answer by message: what both sides write, and who waits for what.

A request is an ordinary message that says who asks (`REPLY_TO_CLIENT`) and which question it is (`CORRELATION_ID`). The
reply goes to the reply topic of the request's cluster; the broker that takes it pushes it (code 326) to the client that
asked, which therefore has to be known there.
Source: RocketMQ RequestFutureHolder.java, MessageUtil.createReplyMessage, ClientRemotingProcessor.receiveReplyMessage.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Final

from mq.errors import InvalidMessage, RemoteProtocolError
from mq.message import Host, ReceivedMessage, compression, properties, sys_flag
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import ReplyMessageRequestHeader

logger = logging.getLogger(__name__)

_REPLY_TOPIC_SUFFIX: Final = "_REPLY_TOPIC"
_REPLY_TYPE: Final = "reply"


class Replies:
    """The questions of one client that nobody has answered yet."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[ReceivedMessage]] = {}

    def expect(self) -> tuple[str, asyncio.Future[ReceivedMessage]]:
        """A new question's correlation id, and the future that gets its answer; `forget` it in the end."""
        correlation_id = str(uuid.uuid4())
        future = self._waiting[correlation_id] = asyncio.get_running_loop().create_future()
        return correlation_id, future

    def forget(self, correlation_id: str) -> None:
        self._waiting.pop(correlation_id, None)

    def arrive(self, reply: ReceivedMessage) -> None:
        """A reply that nobody waits for any more is dropped: its question has timed out."""
        future = self._waiting.get(reply.properties.get(properties.CORRELATION_ID, ""))
        if future is None or future.done():
            logger.info("a reply to no open question: %s", reply.properties)
        else:
            future.set_result(reply)


def request_properties(correlation_id: str, client_id: str, timeout_s: float) -> dict[str, str]:
    """What a request carries; TTL in milliseconds, as Java means it."""
    return {
        properties.CORRELATION_ID: correlation_id,
        properties.REPLY_TO_CLIENT: client_id,
        properties.TTL: str(int(timeout_s * 1000)),
    }


def reply_target(request: ReceivedMessage) -> tuple[str, dict[str, str]]:
    """The topic that a reply to `request` goes to, and what it carries.

    Raises: InvalidMessage: the message is no request, or no broker said which cluster it came from.
    """
    named = request.properties
    missing = {properties.CLUSTER, properties.CORRELATION_ID, properties.REPLY_TO_CLIENT} - named.keys()
    if missing:
        raise InvalidMessage(f"message {request.message_id} is no request: it has no {', '.join(sorted(missing))}")
    carried = {properties.MSG_TYPE: _REPLY_TYPE}
    for name in (properties.CORRELATION_ID, properties.REPLY_TO_CLIENT, properties.TTL):
        if name in named:
            carried[name] = named[name]
    return named[properties.CLUSTER] + _REPLY_TOPIC_SUFFIX, carried


def read_reply(command: RemotingCommand, arrived_at_ms: int) -> ReceivedMessage:
    """The message of a pushed reply, which was never stored as such: its offsets are 0.

    Raises: RemoteProtocolError: a header or body that is none.
    """
    header = command.header(ReplyMessageRequestHeader)
    body, flags = command.body, header.sys_flag
    if flags & sys_flag.COMPRESSED:
        body = compression.inflate(body, flags)
        flags &= ~(sys_flag.COMPRESSED | sys_flag.COMPRESSION_MASK)
    named = properties.decode((header.properties or "").encode())
    named[properties.ARRIVE_TIME] = str(arrived_at_ms)
    return ReceivedMessage(
        topic=header.topic,
        queue_id=header.queue_id,
        queue_offset=0,
        commit_log_offset=0,
        body=body,
        properties=named,
        sys_flag=flags,
        flag=header.flag,
        born_timestamp_ms=header.born_timestamp,
        born_host=_host(header.born_host),
        store_timestamp_ms=header.store_timestamp,
        store_host=_host(header.store_host),
        reconsume_times=header.reconsume_times or 0,
        prepared_transaction_offset=0,
        record_bytes=len(command.body),
    )


def _host(text: str) -> Host:
    """`/127.0.0.1:10911`, as Java prints an address, with or without the host name before the slash."""
    address, _, port = text.rpartition("/")[2].rpartition(":")
    if not (address and port.isdigit()):
        raise RemoteProtocolError(f"{text!r} is no address of a host")
    return Host(address.strip("[]"), int(port))
