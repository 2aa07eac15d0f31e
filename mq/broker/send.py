"""Storing what producers send: one message (codes 10 and 310) or a batch (320).

A send is checked, appended, and answered when its group is on disk; nothing here waits. Everything a turn of the loop
received is one group: `_seal` asks the store once for all of it, and `_answer` answers all of it, so that every
connection gets one write. At tens of thousands of messages a second each needless object counts; hence the plain text
searches below, and `_prepare` for messages that ask for more than being stored.
Source: RocketMQ SendMessageProcessor, AbstractSendMessageProcessor.msgCheck.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker import delay, recall, send_back, transaction
from mq.broker.check_points import REVIVE_TOPIC_PREFIX
from mq.broker.send_response import SendResponses
from mq.broker.system_names import NOT_FOR_CLIENTS
from mq.errors import InvalidMessage, MQError, ResponseError
from mq.message import batch, ids
from mq.message import properties as names
from mq.message.message import RETRY_PREFIX
from mq.message.record import RecordFields
from mq.remoting.bodies import TopicConfig
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import SendMessageRequestHeader, SendMessageRequestHeaderV2, SendMessageResponseHeader
from mq.store.store import AppendResult

if TYPE_CHECKING:
    from mq.broker.app import Broker

_UNIQ_KEY = f"{names.UNIQ_KEY}\x01"
_DELAY, _TIMER, _HALF, _POP, _TRANSIENT = "DELAY\x01", "TIMER_", "TRAN_MSG\x01", "POP_CK\x01", "__RMQ.TRANSIENT."
_CLUSTER = f"{names.CLUSTER}\x01"

#: Sends are refused while more than this is received and not on disk: a disk that stalls must not fill the memory.
MAX_UNSAVED_BYTES: Final = 128 << 20
#: An answer that is not there yet.
Later = Awaitable[RemotingCommand]
#: connection, request, queue id asked for, where it was stored, unique id
Waiting = tuple[Connection, RemotingCommand, int, AppendResult, str]


class SendProcessor:
    def __init__(self, broker: Broker) -> None:
        config = broker.config
        self._broker = broker
        self._store = broker.store
        self._topics = broker.topics
        self._responses = SendResponses(broker.store_host, config.region_id, is_traced=config.trace_on)
        self._unique_ids = ids.UniqueIds(broker.store_host.address)
        self._broker_properties = names.encode(
            {
                names.CLUSTER: config.cluster_name,
                names.MSG_REGION: config.region_id,
                names.TRACE_ON: "true" if config.trace_on else "false",
            }
        ).decode()
        self._closed = NOT_FOR_CLIENTS | {REVIVE_TOPIC_PREFIX + config.cluster_name}
        self._waiting: list[Waiting] = []
        self._is_seal_scheduled = False
        self._sealed_to = 0
        self._unsaved_bytes = 0
        self._is_overloaded = False
        self._wait_max_s = config.wait_time_ms_in_send_queue / 1000
        #: When the sends of this turn, and those of earlier turns that are on their way to disk, began to wait.
        self._turn_began_s = 0.0
        self._sealed_began_s: deque[float] = deque()

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.SEND_MESSAGE: self._send_v1,
            RequestCode.SEND_MESSAGE_V2: self._send_v2,
            RequestCode.SEND_BATCH_MESSAGE: self._send_batch,
        }

    def _send_v1(self, connection: Connection, command: RemotingCommand) -> Later | None:
        return self._send(connection, command, command.header(SendMessageRequestHeader))

    def _send_v2(self, connection: Connection, command: RemotingCommand) -> Later | None:
        return self._send(connection, command, command.header(SendMessageRequestHeaderV2))

    # ---- one message

    def _send(self, connection: Connection, command: RemotingCommand, header: SendMessageRequestHeader) -> Later | None:
        if self._is_overloaded:
            raise self._overload()
        self._refuse_when_behind()
        topic = self._topics.get(header.topic)
        is_new_topic = topic is None
        if topic is None or header.topic in self._closed:
            topic = self._new_topic(header)
        queue_id = self._queue_id(header, topic)
        is_dead_letter = False
        if header.topic.startswith(RETRY_PREFIX):
            dead_letters = send_back.dead_letter_topic_of(self._broker, header, command.version)
            if dead_letters is not None:
                topic, queue_id, is_dead_letter = dead_letters, 0, True
        text, unique_id = self.stored_properties(header.properties or "")
        fields = RecordFields(
            topic.topic_name,
            queue_id,
            command.body,
            text.encode(),
            header.sys_flag,
            header.flag,
            header.born_timestamp,
            connection.remote,
            header.reconsume_times or 0,
        )
        recall_handle = None
        if _HALF in text or _DELAY in text or _TIMER in text or _POP in text or _TRANSIENT in text:
            fields = fields if is_dead_letter else self._prepare(fields)
            recall_handle = self._recall_handle(fields)
        if not self._is_seal_scheduled:
            self._seal_soon()
        result = self._store.append(fields)
        if is_new_topic or recall_handle is not None:
            return self.answer(
                command, queue_id, [result], unique_id, is_new_topic=is_new_topic, recall_handle=recall_handle
            )
        if not command.is_oneway:
            self._waiting.append((connection, command, queue_id, result, unique_id))
        return None

    def _refuse_when_behind(self) -> None:
        """RocketMQ's fast failure: rather a quick no, which producers take to another broker, than a late answer.

        What waits longest is the oldest send on its way to disk, or else the first of this turn: behind a disk that
        stalls, or when more arrives in one turn than can be handled in time, the others would wait longer still.

        Raises: ResponseError: 2, when it has waited for more than `waitTimeMillsInSendQueue`.
        """
        if self._sealed_began_s:
            began_s = self._sealed_began_s[0]
        elif self._is_seal_scheduled:
            began_s = self._turn_began_s
        else:
            return
        waited_s = time.perf_counter() - began_s
        if waited_s > self._wait_max_s:
            self._broker.statistics.refused += 1
            raise ResponseError(
                ResponseCode.SYSTEM_BUSY,
                "[TIMEOUT_CLEAN_QUEUE]broker busy, start flow control for a while, "
                f"period in queue: {waited_s * 1000:.0f}ms, size of queue: {len(self._waiting)}",
            )

    def target(self, header: SendMessageRequestHeader) -> tuple[TopicConfig, int, bool]:
        """The topic and queue id a send is for, and whether it is the topic's first.

        Raises: ResponseError: 16, 17, 29; see `_new_topic` and `_queue_id`.
        """
        topic = self._topics.get(header.topic)
        is_new_topic = topic is None
        if topic is None or header.topic in self._closed:
            topic = self._new_topic(header)
        return topic, self._queue_id(header, topic), is_new_topic

    def _queue_id(self, header: SendMessageRequestHeader, topic: TopicConfig) -> int:
        """Raises: ResponseError: 29, no such queue."""
        queue_id = header.queue_id
        if queue_id < 0:
            return self._topics.random_queue_id(topic)
        if queue_id >= topic.write_queue_nums and queue_id >= topic.read_queue_nums:
            raise ResponseError(
                ResponseCode.INVALID_PARAMETER,
                f"request queueId[{queue_id}] is illegal: topic[{header.topic}] has {topic.write_queue_nums} queues",
            )
        return queue_id

    def _new_topic(self, header: SendMessageRequestHeader) -> TopicConfig:
        """Raises: ResponseError: 16 for the broker's own topics, 17 when a message may not create the topic."""
        if header.topic in self._closed:
            raise ResponseError(ResponseCode.NO_PERMISSION, f"Sending message to topic[{header.topic}] is forbidden.")
        return self._topics.create_for_send(header.topic, header.default_topic, header.default_topic_queue_nums)

    def stored_properties(self, text: str) -> tuple[str, str]:
        """The properties text as it is stored, and the message's unique id; one is made where there is none."""
        if text and text[-1] != "\x02":
            text += "\x02"
        at = text.find(_UNIQ_KEY)
        while at > 0 and text[at - 1] != "\x02":  # the end of a longer name
            at = text.find(_UNIQ_KEY, at + 1)
        if at < 0:
            unique_id = self._unique_ids.next()
            text += f"{_UNIQ_KEY}{unique_id}\x02"
        else:
            at += len(_UNIQ_KEY)
            unique_id = text[at : text.index("\x02", at)]
        if _CLUSTER not in text:  # a message that a consumer sends again has them already
            text += self._broker_properties
        return text, unique_id

    def _prepare(self, fields: RecordFields) -> RecordFields:
        """A half message, a delayed one, or one with properties that are not to be stored."""
        properties = {
            name: value
            for name, value in names.decode(fields.properties_text).items()
            if name != names.POP_CK and not name.startswith(_TRANSIENT)
        }
        fields.properties_text = names.encode(properties)
        if transaction.is_half(properties, fields.reconsume_times):
            if self._broker.config.reject_transactions:
                raise ResponseError(
                    ResponseCode.NO_PERMISSION,
                    f"the broker[{self._broker.config.advertised_address}] sending transaction message is forbidden",
                )
            return transaction.to_half(fields, properties)
        return delay.redirect(fields, properties, now_ms=self._broker.clock.now_ms(), config=self._broker.config)

    def _recall_handle(self, fields: RecordFields) -> str | None:
        if fields.topic != delay.TIMER_TOPIC:
            return None
        return recall.handle_of(fields, names.decode(fields.properties_text), self._broker.config.broker_name)

    # ---- answers, for all messages of a turn together

    def _seal_soon(self) -> None:
        """Before an append, so that it runs before the commit which that append schedules."""
        self._is_seal_scheduled = True
        self._sealed_to = self._store.max_commit_log_offset
        self._turn_began_s = time.perf_counter()
        asyncio.get_running_loop().call_soon(self._seal)

    def _seal(self) -> None:
        """Everything received in this turn is appended: have it answered once it is on disk."""
        self._is_seal_scheduled = False
        waiting, self._waiting = self._waiting, []
        self._sealed_began_s.append(self._turn_began_s)
        appended_bytes = self._store.max_commit_log_offset - self._sealed_to
        self._unsaved_bytes += appended_bytes
        self._is_overloaded = self._unsaved_bytes > MAX_UNSAVED_BYTES
        self._store.when_durable(partial(self._answer, waiting, appended_bytes, time.perf_counter()))

    def _overload(self) -> ResponseError:
        return ResponseError(
            ResponseCode.SYSTEM_BUSY,
            f"[OVERLOAD]{self._unsaved_bytes} bytes wait for the disk, {MAX_UNSAVED_BYTES} at most: try again later",
        )

    def _answer(self, waiting: list[Waiting], appended_bytes: int, began_s: float, error: MQError | None) -> None:
        self._sealed_began_s.popleft()
        self._unsaved_bytes -= appended_bytes
        self._is_overloaded = self._unsaved_bytes > MAX_UNSAVED_BYTES
        statistics = self._broker.statistics
        statistics.send_times.took_ms.append((time.perf_counter() - began_s) * 1000)
        if error is not None:
            statistics.refused += len(waiting)
            for connection, command, _, _, _ in waiting:
                connection.send(_not_stored(command, error))
            return
        to_json, to_binary = self._responses.json, self._responses.binary
        for connection, command, queue_id, result, unique_id in waiting:
            if not (unique_id.isascii() and unique_id.isalnum()):
                connection.send(self._general_response(command, queue_id, [result], unique_id))
                continue
            form = to_binary if command.is_binary else to_json
            connection.send_frame(
                form(command.opaque, queue_id, result.queue_offset, result.commit_log_offset, unique_id)
            )

    async def answer(
        self,
        command: RemotingCommand,
        queue_id: int,
        results: list[AppendResult],
        unique_id: str | None,
        *,
        is_new_topic: bool = False,
        recall_handle: str | None = None,
    ) -> RemotingCommand:
        """The answer once the messages are on disk.

        To a topic's first message it also waits for the name servers: its sender may look for the route right away.
        """
        if is_new_topic:
            await self._broker.name_servers.register_now()
        await self._store.durable()
        return self._general_response(command, queue_id, results, unique_id, recall_handle)

    def _general_response(
        self,
        command: RemotingCommand,
        queue_id: int,
        results: list[AppendResult],
        unique_id: str | None,
        recall_handle: str | None = None,
    ) -> RemotingCommand:
        host, config = self._broker.store_host, self._broker.config
        header = SendMessageResponseHeader(
            msg_id=",".join(ids.offset_message_id(host, result.commit_log_offset) for result in results),
            queue_id=queue_id,
            queue_offset=results[0].queue_offset,
            transaction_id=unique_id,
            recall_handle=recall_handle,
            msg_region=config.region_id,
            trace_on=config.trace_on,
        )
        return command.respond(ext=header)

    # ---- a batch

    def _send_batch(self, connection: Connection, command: RemotingCommand) -> Later | None:
        """All messages of a batch get consecutive queue offsets and are stored together or not at all.

        Raises: InvalidMessage: no messages, or one that cannot be in a batch.
        """
        if self._is_overloaded:
            raise self._overload()
        self._refuse_when_behind()
        header = command.header(SendMessageRequestHeaderV2)
        topic, queue_id, is_new_topic = self.target(header)
        if topic.topic_name.startswith(RETRY_PREFIX):
            raise InvalidMessage("batch request does not support retry group " + topic.topic_name)
        limit = self._broker.config.max_message_bytes
        if len(command.body) > limit:
            raise InvalidMessage(f"a batch of {len(command.body)} bytes: {limit} at most (maxMessageSize)")
        fields = [
            self._batch_fields(header, entry, topic.topic_name, queue_id, connection)
            for entry in batch.decode(command.body)
        ]
        if not fields:
            raise InvalidMessage("a batch without messages")
        if not self._is_seal_scheduled:
            self._seal_soon()
        results = self._store.append_batch(fields)
        if is_new_topic:
            return self.answer(command, queue_id, results, None, is_new_topic=True)
        if not command.is_oneway:
            self._store.when_durable(partial(self._answer_batch, connection, command, queue_id, results))
        return None

    def _batch_fields(
        self,
        header: SendMessageRequestHeader,
        entry: batch.BatchEntry,
        topic: str,
        queue_id: int,
        connection: Connection,
    ) -> RecordFields:
        text, _ = self.stored_properties(entry.properties_text.decode(errors="replace"))
        if _DELAY in text or _TIMER in text or _HALF in text:
            asked = names.decode(text.encode())
            if (
                delay.delay_level(asked)
                or any(name in asked for name in delay.TIMER_REQUESTS)
                or names.TRAN_MSG in asked
            ):
                raise InvalidMessage("a message in a batch can neither be delayed nor be part of a transaction")
        return RecordFields(
            topic,
            queue_id,
            entry.body,
            text.encode(),
            header.sys_flag,
            entry.flag,
            header.born_timestamp,
            connection.remote,
            header.reconsume_times or 0,
        )

    def _answer_batch(
        self,
        connection: Connection,
        command: RemotingCommand,
        queue_id: int,
        results: list[AppendResult],
        error: MQError | None,
    ) -> None:
        connection.send(
            _not_stored(command, error) if error else self._general_response(command, queue_id, results, None)
        )


def _not_stored(command: RemotingCommand, error: MQError) -> RemotingCommand:
    return command.respond(ResponseCode.SERVICE_NOT_AVAILABLE, f"the message may not be stored: {error}")
