"""A second chance for a transaction that was given up (code 323): its message becomes a half message once more.

The administrator names the message in `TRANS_CHECK_MAX_TIME_TOPIC`; checks begin again, counting from 0. Stricter than
RocketMQ, which takes any message of any topic and so could turn one that was delivered into a half message.
Source: RocketMQ AdminBrokerProcessor.resumeCheckHalfMessage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.half_messages import HALF_QUEUE_ID, HALF_TOPIC
from mq.broker.redelivery import real_target, stored_again, stored_message
from mq.broker.transaction_check import MAX_CHECKED_TOPIC
from mq.errors import InvalidMessage, RemoteProtocolError, ResponseError
from mq.message import ReceivedMessage, ids
from mq.message import properties as names
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import ResumeCheckHalfMessageRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: What tied the message to its earlier life as a half message, which has ended.
_LEFT_OUT: Final = (names.TRAN_PREPARED_QUEUE_OFFSET, names.TRANSACTION_CHECK_TIMES)


class TransactionResumeProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.RESUME_CHECK_HALF_MESSAGE: self._resume}

    async def _resume(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Raises: ResponseError: 1, the id names no message that was given up."""
        message = self._given_up(command.header(ResumeCheckHalfMessageRequestHeader).msg_id or "")
        properties = {name: value for name, value in message.properties.items() if name not in _LEFT_OUT}
        self._broker.store.append(
            stored_again(message, topic=HALF_TOPIC, queue_id=HALF_QUEUE_ID, properties=properties)
        )
        await self._broker.store.durable()
        return command.respond()

    def _given_up(self, offset_message_id: str) -> ReceivedMessage:
        try:
            place = ids.parse_offset_message_id(offset_message_id).commit_log_offset
            message = stored_message(self._broker.store, place)
            real_target(message)
        except (RemoteProtocolError, InvalidMessage) as error:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, str(error)) from error
        if message.topic != MAX_CHECKED_TOPIC:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR,
                f"message {offset_message_id} is in {message.topic}: only one of {MAX_CHECKED_TOPIC} can be resumed",
            )
        return message
