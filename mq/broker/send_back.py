"""Messages that consumers could not process: later again through `%RETRY%group`, at last to `%DLQ%group`.

A consumer gives a message back by its place in the log (code 36), or, when that fails and for messages consumed in
order, sends it itself to the retry topic (code 310). Each return waits one delay level longer than the one before.
Source: RocketMQ SendMessageProcessor.consumerSendMsgBack, handleRetryAndDLQ.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from mq.broker import delay
from mq.broker.redelivery import stored_again, stored_message
from mq.broker.system_names import PERM_WRITE, dead_letter_topic, retry_topic
from mq.errors import InvalidMessage, MQError, ResponseError
from mq.message import ReceivedMessage
from mq.message import properties as names
from mq.message.message import RETRY_PREFIX
from mq.message.record import RecordFields
from mq.remoting.bodies import SubscriptionGroupConfig, TopicConfig
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import ConsumerSendMsgBackRequestHeader, SendMessageRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: The level of a first retry when the consumer leaves it to us: 10 s with RocketMQ's levels.
FIRST_RETRY_LEVEL: Final = 3
#: Clients before this version (3.4.9) do not know `maxReconsumeTimes`.
KNOWS_LIMIT_VERSION: Final = 121


class SendBackProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.CONSUMER_SEND_MSG_BACK: self._send_back}

    def _send_back(self, connection: Connection, command: RemotingCommand) -> RemotingCommand | None:
        """Store the message once more, for a retry or as a dead letter.

        Raises: ResponseError: 26 unknown group, 16 retry topic not writable, 1 no such message.
        """
        header = command.header(ConsumerSendMsgBackRequestHeader)
        group = _group(self._broker, header.group)
        if group.retry_queue_nums <= 0:
            return command.respond()  # the group wants no retries: what fails is gone
        limit = _retry_limit(group, command.version, header.max_reconsume_times)
        message = self._message(header.offset)
        self._broker.store.append(self._next(message, header, group, limit))
        self._broker.statistics.sent_back[message.topic, group.group_name] += 1
        self._broker.store.when_durable(partial(_answer, connection, command))
        return None

    def _message(self, commit_log_offset: int) -> ReceivedMessage:
        try:
            return stored_message(self._broker.store, commit_log_offset)
        except InvalidMessage as error:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"look message by offset failed, {commit_log_offset}: {error}"
            ) from error

    def _next(
        self,
        message: ReceivedMessage,
        header: ConsumerSendMsgBackRequestHeader,
        group: SubscriptionGroupConfig,
        limit: int,
    ) -> RecordFields:
        """What is stored for a message that came back."""
        broker = self._broker
        first_time = {names.RETRY_TOPIC: message.topic, names.ORIGIN_MESSAGE_ID: message.offset_message_id}
        properties = first_time | message.properties
        is_dead = message.reconsume_times >= limit or header.delay_level < 0
        topic = _dead_letters(broker, group) if is_dead else _retries(broker, group)
        queue_id = broker.topics.random_queue_id(topic)
        fields = stored_again(message, topic=topic.topic_name, queue_id=queue_id, properties=properties)
        fields.reconsume_times = message.reconsume_times + 1
        if is_dead:
            return fields
        properties[names.DELAY] = str(header.delay_level or FIRST_RETRY_LEVEL + message.reconsume_times)
        return delay.redirect(fields, properties, now_ms=broker.clock.now_ms(), config=broker.config)


def dead_letter_topic_of(broker: Broker, header: SendMessageRequestHeader, version: int) -> TopicConfig | None:
    """Where a message that a consumer sends to its retry topic (code 310) goes instead; None when it may be retried.

    Beyond its retries it is a dead letter, and so is any from a group that consumes in order: its consumers retry in
    place, and send only what they have given up.

    Raises: ResponseError: 26 unknown group, 16 dead letter topic not writable.
    """
    group = _group(broker, header.topic.removeprefix(RETRY_PREFIX))
    limit = _retry_limit(group, version, header.max_reconsume_times)
    consumes_in_order = broker.locks.table.is_locked(group.group_name, asyncio.get_running_loop().time())
    if (header.reconsume_times or 0) > limit or consumes_in_order:
        return _dead_letters(broker, group)
    return None


def _group(broker: Broker, name: str) -> SubscriptionGroupConfig:
    group = broker.groups.find_or_create(name)
    if group is None:
        raise ResponseError(
            ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"subscription group not exist, {name}: create it first"
        )
    return group


def _retry_limit(group: SubscriptionGroupConfig, version: int, asked: int | None) -> int:
    return asked if asked is not None and version >= KNOWS_LIMIT_VERSION else group.retry_max_times


def _retries(broker: Broker, group: SubscriptionGroupConfig) -> TopicConfig:
    return _writable(broker.topics.ensure(retry_topic(group.group_name), group.retry_queue_nums))


def _dead_letters(broker: Broker, group: SubscriptionGroupConfig) -> TopicConfig:
    return _writable(broker.topics.ensure(dead_letter_topic(group.group_name)))


def _writable(topic: TopicConfig) -> TopicConfig:
    if not topic.perm & PERM_WRITE:
        raise ResponseError(
            ResponseCode.NO_PERMISSION, f"the topic[{topic.topic_name}] sending message is forbidden: perm {topic.perm}"
        )
    return topic


def _answer(connection: Connection, command: RemotingCommand, error: MQError | None) -> None:
    if error is None:
        connection.send(command.respond())
    else:
        connection.send(command.respond(ResponseCode.SYSTEM_ERROR, str(error)))
