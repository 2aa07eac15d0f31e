"""The broker: its parts, built and started in an order in which each finds what it needs, and stopped in the reverse.

A processor answers request codes (`handlers()`), a service works in the background (`start()`, `stop()`); both get the
`Broker` and reach each other through its attributes. One event loop runs everything; only disk syncs use threads.
"""

from __future__ import annotations

import logging
import socket
from typing import Protocol

from mq.broker.admin import AdminProcessor
from mq.broker.admin_groups import AdminGroupsProcessor
from mq.broker.admin_topics import AdminTopicsProcessor
from mq.broker.cleaning import CleaningProcessor
from mq.broker.client_relay import ClientRelayProcessor
from mq.broker.config import BrokerConfig
from mq.broker.connections import ConnectionsProcessor
from mq.broker.consume_stats import ConsumeStatsProcessor
from mq.broker.consumer_manager import ConsumerManager
from mq.broker.consumer_offset import ConsumerOffsets
from mq.broker.consumer_order_info import ConsumerOrderInfo
from mq.broker.group_offsets import GroupOffsetsProcessor
from mq.broker.half_messages import HalfMessages
from mq.broker.heartbeat import HeartbeatProcessor
from mq.broker.listener import Listener
from mq.broker.long_polling import LongPolling
from mq.broker.permissions import permissions
from mq.broker.pop import PopProcessor
from mq.broker.pop_ack import PopAckProcessor
from mq.broker.pop_looking import PopLookingProcessor
from mq.broker.producer_manager import ProducerManager
from mq.broker.pull import PullProcessor
from mq.broker.query import QueryProcessor
from mq.broker.queue_view import QueueViewProcessor
from mq.broker.rebalance_lock import RebalanceLocks
from mq.broker.recall import RecallProcessor
from mq.broker.registration import NameServers
from mq.broker.replication_data import ReplicationDataProcessor
from mq.broker.reply import ReplyProcessor
from mq.broker.request_mode import RequestModes
from mq.broker.reset_offset import ResetOffsetProcessor
from mq.broker.revive import ReviveService
from mq.broker.runtime_config import RuntimeConfigProcessor
from mq.broker.runtime_info import RuntimeInfoProcessor
from mq.broker.schedule import ScheduleService
from mq.broker.send import SendProcessor
from mq.broker.send_back import SendBackProcessor
from mq.broker.statistics import Statistics
from mq.broker.stats_data import StatsDataProcessor
from mq.broker.subscription_group import SubscriptionGroups
from mq.broker.timer import TimerService
from mq.broker.topic_config import Topics
from mq.broker.transaction import TransactionProcessor
from mq.broker.transaction_check import TransactionCheckService
from mq.broker.transaction_resume import TransactionResumeProcessor
from mq.clock import Clock
from mq.message import Host
from mq.remoting import not_here
from mq.remoting.connection import Connection, Handler
from mq.security.accounts_file import open_accounts
from mq.security.accounts_watch import AccountsWatch
from mq.security.guard import only_listed
from mq.store.store import MessageStore

logger = logging.getLogger(__name__)


class Processor(Protocol):
    def handlers(self) -> dict[int, Handler]: ...


class Service(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Broker:
    def __init__(self, config: BrokerConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or config.clock()
        port = config.listen_port or _free_port(config.bind_address)
        self.store_host = Host(config.advertised_address, port)
        self.store = MessageStore(config.store_config(self.store_host), self.clock)

        self.accounts = open_accounts(config.accounts_path) if config.acl else None

        self.topics = Topics(self)
        self.groups = SubscriptionGroups(self)
        self.offsets = ConsumerOffsets(self)
        self.producers = ProducerManager()
        self.consumers = ConsumerManager(self)
        self.heartbeats = HeartbeatProcessor(self)
        self.locks = RebalanceLocks(self)
        self.statistics = Statistics(self)
        self.halves = HalfMessages(self)
        self.long_polling = LongPolling(self)
        self.pull = PullProcessor(self)
        self.name_servers = NameServers(self)
        self.schedule = ScheduleService(self)
        self.timers = TimerService(self)
        self.request_modes = RequestModes(self)
        self.orders = ConsumerOrderInfo(self)
        self.revive = ReviveService(self)
        self.pop = PopProcessor(self, self.revive)
        self.pop_looking = PopLookingProcessor(self, self.pop)
        sends = SendProcessor(self)
        self.processors: list[Processor] = [
            sends,
            ReplyProcessor(self, sends),
            RecallProcessor(self),
            SendBackProcessor(self),
            TransactionProcessor(self, self.halves),
            TransactionResumeProcessor(self),
            self.pull,
            self.pop,
            PopAckProcessor(self, self.revive),
            self.pop_looking,
            self.request_modes,
            self.topics,
            self.offsets,
            self.heartbeats,
            self.consumers,
            self.locks,
            QueryProcessor(self),
            QueueViewProcessor(self),
            AdminProcessor(self),
            AdminTopicsProcessor(self),
            AdminGroupsProcessor(self),
            GroupOffsetsProcessor(self),
            ResetOffsetProcessor(self),
            ClientRelayProcessor(self),
            ConnectionsProcessor(self),
            RuntimeConfigProcessor(self),
            ConsumeStatsProcessor(self),
            StatsDataProcessor(self),
            RuntimeInfoProcessor(self),
            CleaningProcessor(self),
            ReplicationDataProcessor(self),
        ]
        rules = permissions(self.store)
        handlers = {code: handler for part in self.processors for code, handler in part.handlers().items()}
        self.listener = Listener(self, {**not_here.handlers(), **only_listed(handlers, rules)}, rules, self._forget)
        #: Started in this order and stopped in the reverse: clients come when all is ready, announcements last.
        self.services: list[Service] = [
            self.offsets,
            self.heartbeats,
            self.statistics,
            self.schedule,
            self.timers,
            TransactionCheckService(self, self.halves),
            self.revive,
            self.orders,
            self.listener,
            self.long_polling,
            self.pop.polling,
            self.pop_looking.polling,
            self.name_servers,
        ]
        if self.accounts is not None:
            self.services.append(AccountsWatch(config.accounts_path, self.accounts, self.name_servers.sign_anew))
        self._started: list[Service] = []

    @property
    def address(self) -> str:
        return str(self.store_host)

    def reconfigure(self, config: BrokerConfig) -> None:
        """Take over a config that differs in settings that may change (`runtime_config.CHANGEABLE`)."""
        before, self.config = self.config, config
        self.store.reconfigure(config.store_config(self.store_host))
        if config.permission != before.permission:
            self.topics.announce_anew()

    async def start(self) -> None:
        """Open the store, listen, and announce the broker; or, when that fails, leave everything as it was.

        Raises: StoreUnusable, CorruptRecord: the store directory.  OSError: the port is taken.
        """
        report = self.store.open()
        logger.info("store %s opened: %s", self.config.store_root, report)
        try:
            self.topics.load()
            self.groups.load()
            self.offsets.load()
            self.halves.load()
            self.request_modes.load()
            self.orders.load()
            self.store.start()
            for service in self.services:
                await service.start()
                self._started.append(service)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the name servers, answer and close every connection, and close the store cleanly."""
        while self._started:
            service = self._started.pop()
            try:
                await service.stop()
            except Exception:  # whatever it is, the others and above all the store must be closed
                logger.exception("%s did not stop as it should", type(service).__name__)
        await self.store.close()

    def _forget(self, connection: Connection) -> None:
        self.producers.connection_closed(connection)
        self.locks.connection_closed(connection)  # before the others of its groups hear that it is gone, and lock
        self.consumers.connection_closed(connection)
        self.long_polling.connection_closed(connection)
        self.pop.polling.connection_closed(connection)
        self.pop_looking.polling.connection_closed(connection)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
