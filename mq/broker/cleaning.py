"""Clearing away at an administrator's word what goes by itself only later, or never.

Codes 306 (queue files whose messages are gone), 316 (queues of topics that do not exist), 329 (expired log files,
whatever the hour). What retention would keep is kept. Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)


class CleaningProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE: self._expired_queues,
            RequestCode.CLEAN_UNUSED_TOPIC: self._unused_topics,
            RequestCode.DELETE_EXPIRED_COMMITLOG: self._expired_log_files,
        }

    def _expired_queues(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._broker.store.delete_expired_queue_files()
        return command.respond()

    async def _unused_topics(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """A deleted topic leaves nothing; such queues come from a crash in between, or another broker's folder."""
        topics, store = self._broker.topics, self._broker.store
        for topic in store.queues():
            if topics.get(topic) is None and not topics.is_system(topic):
                logger.info("topic %s does not exist: deleting its queues", topic)
                store.delete_topic(topic)
                await asyncio.sleep(0)
        return command.respond()

    async def _expired_log_files(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        await self._broker.store.delete_expired_log_files()
        return command.respond()
