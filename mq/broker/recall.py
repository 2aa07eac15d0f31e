"""Taking a timed message back (code 370), by the handle that the answer to its send carried.

Layout of a handle: URL-safe base64 of `v1 topic broker deliver-ms unique-id`, blank separated; `deliver-ms` is 1 more
than TIMER_OUT_MS, so that a deletion record that asks for that moment lands in the same slot of the wheel as the
message. When the slot is due the record takes the message with it (`timer.py`). Off unless `recallMessageEnable`.
Source: RocketMQ RecallMessageProcessor, RecallMessageHandle.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker import delay
from mq.broker.system_names import PERM_WRITE
from mq.errors import InvalidMessage, ResponseError
from mq.message import properties as names
from mq.message.message import RETRY_PREFIX
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import RecallMessageRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

_VERSION: Final = "v1"
_RECALL_TAG: Final = "_RECALL_TAG_"
_BODY: Final = b"0"
#: A handle holds a topic, a broker's name and two numbers.
_MAX_HANDLE_LENGTH: Final = 2048


class Handle(NamedTuple):
    topic: str
    broker_name: str
    deliver_at_ms: int
    unique_id: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(" ".join((_VERSION, *map(str, self))).encode()).decode()


def decode(text: str) -> Handle:
    """Raises: ResponseError: 604, no handle."""
    try:
        if len(text) > _MAX_HANDLE_LENGTH:
            raise ValueError(f"{len(text)} characters")
        version, topic, broker_name, deliver_at_ms, unique_id = base64.urlsafe_b64decode(text).decode().split(" ")
        if version != _VERSION or not deliver_at_ms.isdecimal():
            raise ValueError(f"version {version}, time {deliver_at_ms}")
        return Handle(topic, broker_name, int(deliver_at_ms), unique_id)
    except ValueError as error:  # also base64 and UTF-8 that are none
        raise ResponseError(ResponseCode.ILLEGAL_OPERATION, f"recall handle is invalid: {error}") from error


def handle_of(fields: RecordFields, properties: dict[str, str], broker_name: str) -> str | None:
    """The handle of a message that is stored as a timer; None for any other, and for one that is tried again."""
    topic, out_ms = properties.get(names.REAL_TOPIC, ""), properties.get(names.TIMER_OUT_MS, "")
    if fields.topic != delay.TIMER_TOPIC or not out_ms.isdecimal() or topic.startswith(RETRY_PREFIX):
        return None
    return Handle(topic, broker_name, int(out_ms) + 1, properties.get(names.UNIQ_KEY, "")).encode()


class RecallProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.RECALL_MESSAGE: self._recall}

    async def _recall(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Raises: ResponseError: 16 switched off, 14 not writable, 17 no such topic, 604 a handle that will not do."""
        broker, header = self._broker, command.header(RecallMessageRequestHeader)
        config = broker.config
        if not config.recall_enable:
            raise ResponseError(
                ResponseCode.NO_PERMISSION, "recall failed, operation is forbidden: recallMessageEnable=false"
            )
        if not config.permission & PERM_WRITE:
            raise ResponseError(ResponseCode.SERVICE_NOT_AVAILABLE, "recall failed, the broker is not writable")
        if broker.topics.get(header.topic) is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{header.topic}] not exist")
        handle = self._checked(header)
        properties = {
            names.TAGS: _RECALL_TAG,
            names.UNIQ_KEY: handle.unique_id,
            names.TIMER_DELIVER_MS: str(handle.deliver_at_ms),
            # With its topic, as unique ids of different producers are unique by their word only.
            names.TIMER_DEL_UNIQKEY: f"{handle.topic}+{handle.unique_id}",
        }
        now_ms = broker.clock.now_ms()
        fields = RecordFields(handle.topic, 0, _BODY, names.encode(properties), 0, 0, now_ms, connection.remote)
        try:
            broker.store.append(delay.redirect(fields, properties, now_ms=now_ms, config=config))
        except InvalidMessage as error:
            raise ResponseError(ResponseCode.ILLEGAL_OPERATION, f"recall failed: {error}") from error
        await broker.store.durable()
        return command.respond(ext={"msgId": handle.unique_id})

    def _checked(self, header: RecallMessageRequestHeader) -> Handle:
        handle = decode(header.recall_handle)
        if handle.topic != header.topic:
            raise ResponseError(ResponseCode.ILLEGAL_OPERATION, "recall failed, topic not match")
        if handle.broker_name != self._broker.config.broker_name:
            raise ResponseError(ResponseCode.ILLEGAL_OPERATION, "recall failed, broker service not available")
        left_ms = handle.deliver_at_ms - self._broker.clock.now_ms()
        if left_ms <= 0 or left_ms // 1000 >= self._broker.config.timer_max_delay_sec:
            raise ResponseError(ResponseCode.ILLEGAL_OPERATION, "recall failed, timestamp invalid")
        return handle
