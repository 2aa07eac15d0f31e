"""Finding single messages: by key or unique id (code 12) and by where they lie (code 33).

Source: RocketMQ QueryMessageProcessor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import QueryMessageRequestHeader, ViewMessageRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: As many messages as one query may ask for, and as many as a query by unique id always asks for.
MAX_COUNT: Final = 64
UNIQUE_KEY_COUNT: Final = 32
#: All found records together; they travel in one frame, which takes twice as much. The first is given in any case.
MAX_BYTES: Final = 8 << 20


class QueryProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.QUERY_MESSAGE: self._query, RequestCode.VIEW_MESSAGE_BY_ID: self._view}

    def _query(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(QueryMessageRequestHeader)
        max_count = UNIQUE_KEY_COUNT if header.unique_key_query else min(header.max_num, MAX_COUNT)
        store = self._broker.store
        begin_ms, end_ms = header.begin_timestamp, header.end_timestamp
        records = store.query(header.topic, header.key, max_count, begin_ms, end_ms, max_bytes=MAX_BYTES)
        ext = {
            "indexLastUpdateTimestamp": str(store.index_last_timestamp_ms),
            "indexLastUpdatePhyoffset": str(store.index_last_commit_log_offset),
        }
        if not records:
            return command.respond(
                ResponseCode.QUERY_NOT_FOUND, f"no message of {header.topic} has the key {header.key[:100]}", ext
            )
        return command.respond(ext=ext, body=b"".join(records))

    def _view(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        commit_log_offset = command.header(ViewMessageRequestHeader).offset
        record = self._broker.store.record_at(commit_log_offset)
        if record is None:
            return command.respond(
                ResponseCode.SYSTEM_ERROR, f"can not find message by the offset, {commit_log_offset}"
            )
        return command.respond(body=record)
