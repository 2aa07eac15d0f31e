"""Half messages and how they end: the first phase stores a message that no consumer can see, the second decides.

A half message lies in `RMQ_SYS_TRANS_HALF_TOPIC`, queue 0, and knows where it belongs (`REAL_TOPIC`, `REAL_QID`). Its
end (code 37) names the record by both offsets and the producer group, and all three must agree with what is stored:
committing stores it again under its own topic, where it is visible for the first time; rolling back stores nothing.
Either way the end is noted in the op topic (`op_messages.py`), so that nobody asks about it (`transaction_check.py`).
Source: RocketMQ EndTransactionProcessor, TransactionalMessageBridge.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker import delay
from mq.broker.half_messages import HALF_QUEUE_ID, HALF_TOPIC, HalfMessages, begun_at_ms, immunity_ms
from mq.broker.redelivery import stored_message, to_real_topic
from mq.errors import InvalidMessage, MessageTooLarge, MQError, ResponseError
from mq.message import ReceivedMessage, sys_flag
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import EndTransactionRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: Left free in a half message's properties for the two that checks add (`_OURS`).
_ROOM_FOR_CHECKS_BYTES: Final = 100
#: What checks count and whom a copy stands for: not for producers to say.
_OURS: Final = (names.TRANSACTION_CHECK_TIMES, names.TRAN_PREPARED_QUEUE_OFFSET)


def is_half(properties: dict[str, str], reconsume_times: int) -> bool:
    """Whether a message that was just sent is to be stored as a half message.

    Committed messages keep `TRAN_MSG`; when a consumer sends one back for a retry, it must not become half again.
    """
    is_retry = reconsume_times > 0 and delay.delay_level(properties) > 0
    return properties.get(names.TRAN_MSG, "").lower() == "true" and not is_retry


def to_half(fields: RecordFields, properties: dict[str, str]) -> RecordFields:
    """The message as it is stored before its transaction ended; `properties` are those of `fields.properties_text`.

    Raises: InvalidMessage: it also asks to be delivered later, which RocketMQ cannot do for one message.
        MessageTooLarge: its properties leave no room for those of checks.
    """
    if delay.delay_level(properties) > 0 or any(name in properties for name in delay.TIMER_REQUESTS):
        raise InvalidMessage(
            "a message in a transaction cannot be delayed as well: send the delayed one when this one is consumed"
        )
    kept = {name: value for name, value in properties.items() if name not in _OURS}
    kept |= {names.REAL_TOPIC: fields.topic, names.REAL_QID: str(fields.queue_id)}
    if names.UNIQ_KEY in properties:
        kept[names.TRANSACTION_ID] = properties[names.UNIQ_KEY]
    text = names.encode(kept)
    limit = names.MAX_PROPERTIES_BYTES - _ROOM_FOR_CHECKS_BYTES
    if len(text) > limit:
        raise MessageTooLarge(f"the properties of a half message take {len(text)} bytes, {limit} at most")
    return replace(
        fields,
        topic=HALF_TOPIC,
        queue_id=HALF_QUEUE_ID,
        properties_text=text,
        sys_flag=fields.sys_flag & ~sys_flag.TRANSACTION_MASK,
    )


class TransactionProcessor:
    def __init__(self, broker: Broker, halves: HalfMessages) -> None:
        self._broker = broker
        self._halves = halves

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.END_TRANSACTION: self._end}

    def _end(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        """Commit, roll back or, for unknown, leave it to a later check.

        Producers send this one-way and never see a refusal, so each is logged.
        Raises: ResponseError: 1 for data that does not agree, 604 for an end that comes too late.
        """
        header = command.header(EndTransactionRequestHeader)
        outcome = header.commit_or_rollback
        if outcome == sys_flag.TRANSACTION_NONE:
            return command.respond()
        try:
            if outcome not in (sys_flag.TRANSACTION_COMMIT, sys_flag.TRANSACTION_ROLLBACK):
                raise ResponseError(ResponseCode.SYSTEM_ERROR, f"commitOrRollback is 8, 12 or 0, not {outcome}")
            half = self._agreed_half(header)
        except ResponseError as error:
            logger.warning(
                "end of transaction %s of %s refused: %s", header.msg_id, header.producer_group, error.remark
            )
            raise
        if outcome == sys_flag.TRANSACTION_COMMIT:
            self._broker.store.append(_committed(half))
        ended = self._halves.end(half)
        # Noted only when the message is on disk: after a crash in between the producer is asked again.
        self._broker.store.when_durable(partial(self._ended, connection, command, ended))
        return None

    def _ended(
        self, connection: Connection, command: RemotingCommand, queue_offsets: list[int], error: MQError | None
    ) -> None:
        if error is None:
            self._halves.ops.add(queue_offsets)
            connection.send(command.respond())
        else:
            connection.send(command.respond(ResponseCode.SYSTEM_ERROR, str(error)))

    def _agreed_half(self, header: EndTransactionRequestHeader) -> ReceivedMessage:
        """The open half message that the request names."""
        try:
            half = stored_message(self._broker.store, header.commit_log_offset)
        except InvalidMessage as error:
            raise _refusal(f"Find prepared transaction message failed: {error}") from error
        if half.topic != HALF_TOPIC:
            raise _refusal(f"Find prepared transaction message failed: {half.message_id} is in {half.topic}")
        if half.properties.get(names.PGROUP) != header.producer_group:
            raise _refusal("The producer group wrong")
        if half.queue_offset != header.tran_state_table_offset:
            raise _refusal("The transaction state table offset wrong")
        if not self._halves.is_open(half):
            raise _refusal("it has ended before, or was given up", ResponseCode.ILLEGAL_OPERATION)
        immunity = immunity_ms(half)
        age_ms = self._broker.clock.now_ms() - begun_at_ms(half)
        if immunity is not None and not header.from_transaction_check and age_ms > immunity:
            raise _refusal(
                f"it comes {age_ms} ms after the message, {immunity} were asked for: a check will decide",
                ResponseCode.ILLEGAL_OPERATION,
            )
        return half


def _committed(half: ReceivedMessage) -> RecordFields:
    fields = to_real_topic(half)
    fields.sys_flag = half.sys_flag & ~sys_flag.TRANSACTION_MASK | sys_flag.TRANSACTION_COMMIT
    fields.prepared_transaction_offset = half.commit_log_offset
    return fields


def _refusal(remark: str, code: ResponseCode = ResponseCode.SYSTEM_ERROR) -> ResponseError:
    return ResponseError(code, remark)
