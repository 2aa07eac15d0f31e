"""Asking producers how their transactions ended (code 39), for half messages that stay open.

A half message is asked about when it is older than `transactionTimeOut` (or the immunity it asked for), then with every
round, every `transactionCheckInterval`. Each time it is stored anew with a higher count, so that the half topic moves
on and retention can follow; after `transactionCheckMax` times, or when its log file is about to go, it is given up:
copied to `TRANS_CHECK_MAX_TIME_TOPIC`, where a person can find it, and reported.

Unlike RocketMQ, a round in which no producer of the group is connected does not count: a shop that is down for ten
minutes must not lose what it is about to commit. Source: RocketMQ TransactionalMessageServiceImpl.check,
AbstractTransactionalMessageCheckListener.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.background import Background
from mq.broker.half_messages import HALF_QUEUE_ID, HALF_TOPIC, HalfMessage, HalfMessages
from mq.broker.permissions import may_hear_of
from mq.broker.redelivery import real_target, stored_again, stored_message
from mq.errors import InvalidMessage, StoreNotWritable
from mq.message import ReceivedMessage, ids, record
from mq.message import properties as names
from mq.message.record import RecordFields
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import CheckTransactionStateRequestHeader
from mq.security.guard import account_of
from mq.store.store import AppendResult

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

MAX_CHECKED_TOPIC: Final = "TRANS_CHECK_MAX_TIME_TOPIC"
MAX_CHECKED_QUEUE_ID: Final = 0
#: What is stored anew before the loop gets its turn.
GROUP_COUNT: Final = 100
GROUP_BYTES: Final = 8 << 20


class _Step(NamedTuple):
    """What one half message comes to in this round: a copy for a producer to be asked about, or for nobody."""

    half: HalfMessage
    message: ReceivedMessage
    fields: RecordFields
    producer: Connection | None
    stored: AppendResult


class TransactionCheckService:
    def __init__(self, broker: Broker, halves: HalfMessages) -> None:
        self._broker = broker
        self._halves = halves
        self._background = Background("transaction checks", self.round)

    async def start(self) -> None:
        self._halves.ops.start()
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()
        await self._halves.ops.stop()
        with contextlib.suppress(StoreNotWritable):  # which `ops` has reported
            await self._halves.save_progress()

    async def round(self) -> float:
        """Ask about, or give up, everything that is due; returns the seconds until the next round."""
        await self._halves.scan()
        due = self._halves.due(self._broker.clock.now_ms())
        while due and not self._background.is_stopping:
            due = await self._check_some(due)
        await self._halves.save_progress()
        return self._broker.config.transaction_check_interval_ms / 1000

    async def _check_some(self, due: list[HalfMessage]) -> list[HalfMessage]:
        """Check one group; returns what is left. A copy that is stored but not asked about is met by the next scan."""
        steps: list[_Step] = []
        stored_bytes = count = 0
        try:
            for half in due:
                if len(steps) == GROUP_COUNT or stored_bytes > GROUP_BYTES:
                    break
                count += 1
                step = self._step(half) if self._halves.still_open(half) else None
                if step is not None:
                    steps.append(step)
                    stored_bytes += step.stored.record_bytes
        finally:  # the store may refuse half way: the copies it has taken must stand for their half messages
            await self._broker.store.durable()
            for step in steps:
                self._finish(step)
        return due[count:]

    def _step(self, half: HalfMessage) -> _Step | None:
        try:
            message = stored_message(self._broker.store, half.commit_log_offset)
            real_target(message)
        except InvalidMessage as error:
            logger.error("a half message of %s can never be committed: %s", half.producer_group, error)
            self._halves.drop(half)
            return None
        producer = None
        if self._is_hopeless(half):
            self._broker.topics.ensure(MAX_CHECKED_TOPIC)
            fields = stored_again(message, topic=MAX_CHECKED_TOPIC, queue_id=MAX_CHECKED_QUEUE_ID)
        else:
            producer = self._broker.producers.pick(half.producer_group, partial(self._may_be_asked, message))
            if producer is None:
                return None
            properties = message.properties | {
                names.TRANSACTION_CHECK_TIMES: str(half.check_times + 1),
                names.TRAN_PREPARED_QUEUE_OFFSET: str(half.origin),
            }
            fields = stored_again(message, topic=HALF_TOPIC, queue_id=HALF_QUEUE_ID, properties=properties)
        return _Step(half, message, fields, producer, self._broker.store.append(fields))

    def _may_be_asked(self, message: ReceivedMessage, producer: Connection) -> bool:
        """The question shows the message, and anybody may say that it is of the group."""
        return self._broker.accounts is None or may_hear_of(account_of(producer), message)

    def _is_hopeless(self, half: HalfMessage) -> bool:
        age_ms = self._broker.clock.now_ms() - half.stored_at_ms
        return (
            half.check_times >= self._broker.config.transaction_check_max
            or age_ms > self._broker.config.retention_hours * 3_600_000
        )

    def _finish(self, step: _Step) -> None:
        """The copy is on disk: let it take the half message's place."""
        half = step.half
        if step.producer is None:
            logger.error(
                "transaction %s of %s stayed unknown after %d checks and was given up: see topic %s",
                step.message.message_id,
                half.producer_group,
                half.check_times,
                MAX_CHECKED_TOPIC,
            )
            self._halves.drop(half)
        elif not self._halves.still_open(half):  # ended while the copy was on its way to disk
            self._halves.drop_copy(step.stored.queue_offset)
        else:
            copy = replace(
                half,
                queue_offset=step.stored.queue_offset,
                commit_log_offset=step.stored.commit_log_offset,
                check_times=half.check_times + 1,
                stored_at_ms=step.stored.store_timestamp_ms,
            )
            self._halves.replace(half, copy)
            self._ask(step.producer, step)

    def _ask(self, producer: Connection, step: _Step) -> None:
        """Send code 39: the header speaks of the copy in the half topic, the body shows the message as it was sent."""
        stored, host = step.stored, self._broker.store_host
        unique_id = step.message.properties.get(names.UNIQ_KEY)
        header = CheckTransactionStateRequestHeader(
            topic=HALF_TOPIC,
            tran_state_table_offset=stored.queue_offset,
            commit_log_offset=stored.commit_log_offset,
            msg_id=unique_id,
            transaction_id=unique_id,
            offset_msg_id=ids.offset_message_id(host, stored.commit_log_offset),
            broker_name=self._broker.config.broker_name,
        )
        topic, queue_id = real_target(step.message)
        body = record.encode(
            replace(step.fields, topic=topic, queue_id=queue_id),
            queue_offset=stored.queue_offset,
            commit_log_offset=stored.commit_log_offset,
            store_timestamp_ms=stored.store_timestamp_ms,
            store_host=host,
        )
        producer.send_oneway(RemotingCommand.request(RequestCode.CHECK_TRANSACTION_STATE, header, body))
