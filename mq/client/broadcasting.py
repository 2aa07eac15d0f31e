"""Consuming everything oneself: what a member of a broadcasting group does differently.

Each member has all queues, keeps its own offsets (`LocalFileOffsetStore`), and has nobody to give a message back to.
Brokers are asked for messages, and where queues begin and end, and told of no offset, no lock, no failure.
Source: RocketMQ MessageModel, RebalanceImpl.rebalanceByTopic, ConsumeMessageConcurrentlyService.processConsumeResult.
"""

from __future__ import annotations

import enum
import logging

from mq.client.process_queue import ProcessQueue
from mq.client.rebalance import Rebalance
from mq.message import MessageQueue, ReceivedMessage

logger = logging.getLogger(__name__)


class MessageModel(enum.Enum):
    """Who of a group gets a message: one of its members, or each of them."""

    CLUSTERING = "CLUSTERING"
    BROADCASTING = "BROADCASTING"


class EveryQueue(Rebalance):
    """A rebalance that asks nobody: all queues of every topic are ours."""

    async def _share(self, topic: str) -> frozenset[MessageQueue]:
        return frozenset((await self._client.routes.of(topic)).subscribe_queues)


class Dropped:
    """In place of `SendBack`: a message whose handler failed does not come again."""

    def __init__(self, group: str) -> None:
        self._group = group

    async def send_back(self, process_queue: ProcessQueue, message: ReceivedMessage, delay_level: int) -> bool:
        return await self.send_copy(process_queue, message)

    async def send_copy(self, process_queue: ProcessQueue, message: ReceivedMessage) -> bool:
        logger.warning(
            "broadcasting group %s drops message %s of %s, whose handler failed",
            self._group,
            message.message_id,
            process_queue.queue,
        )
        return True
