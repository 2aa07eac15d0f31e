"""Giving a message back: to be tried again later, or, when it was tried often enough, to the group's dead letters.

The broker decides which of the two, and how much later, by how often the message was consumed.
Source: RocketMQ DefaultMQPushConsumerImpl.sendMessageBack, ConsumeMessageOrderlyService; remoting sheet 6.5.
"""

from __future__ import annotations

import logging

from mq.client.delivery import Delivery
from mq.client.instance import Client
from mq.client.outgoing import Outgoing, properties_text
from mq.client.process_queue import ProcessQueue
from mq.client.producer import SEND_TIMEOUT_S
from mq.errors import MQError
from mq.message import ReceivedMessage, properties
from mq.message.message import RETRY_PREFIX

logger = logging.getLogger(__name__)

#: The delay level of a first retry (10 s); every further one waits a level longer.
_FIRST_DELAY_LEVEL = 3
#: Java's name for the producer that a client uses for itself.
_INNER_PRODUCER = "CLIENT_INNER_PRODUCER"


class SendBack:
    def __init__(self, client: Client, group: str, max_reconsume_times: int) -> None:
        self._client = client
        self._group = group
        self._max_reconsume_times = max_reconsume_times
        self._delivery = Delivery(client, _INNER_PRODUCER, attempts=3)

    async def send_back(self, process_queue: ProcessQueue, message: ReceivedMessage, delay_level: int) -> bool:
        """Let the broker copy the message to the retry topic; False when it could not be told in any way.

        `delay_level`: 0 lets the broker decide, -1 means to the dead letters at once.
        """
        try:
            await self._client.brokers.send_back(
                self._client.routes.master(process_queue.queue.broker_name),
                self._group,
                message,
                topic=self._client.namespace.wrap(message.topic),
                delay_level=delay_level,
                max_reconsume_times=self._max_reconsume_times,
            )
        except MQError as error:
            logger.warning("message %s was not taken back, sending a copy: %s", message.message_id, error)
            return await self.send_copy(process_queue, message)
        return True

    async def send_copy(self, _process_queue: ProcessQueue, message: ReceivedMessage) -> bool:
        """Send the message to the retry topic ourselves; False when that failed too."""
        named = dict(message.properties)
        named.setdefault(properties.ORIGIN_MESSAGE_ID, message.message_id)
        named[properties.RETRY_TOPIC] = self._client.namespace.wrap(message.topic)
        named[properties.DELAY] = str(_FIRST_DELAY_LEVEL + message.reconsume_times)
        named.pop(properties.TRAN_MSG, None)
        try:
            body, flags = self._client.packer.compress(message.body)
            copy = Outgoing(
                RETRY_PREFIX + self._group,
                body,
                properties_text(named),
                message.message_id,
                flags,
                message.flag,
                reconsume_times=message.reconsume_times + 1,
                max_reconsume_times=self._max_reconsume_times,
            )
            await self._delivery.deliver(copy, None, SEND_TIMEOUT_S)
        except MQError as error:
            logger.error("message %s could not be sent to the retry topic: %s", message.message_id, error)
            return False
        return True
