"""Sending messages that count only if something else happened: `TransactionProducer`.

The broker keeps a half message out of everybody's sight until it hears how the local work ended. If it does not hear
(we died, the line was cut, the answer was UNKNOWN) it asks any producer of the group, again and again; so `check` must
find the outcome in what the work left behind, not in this process's memory.

Source: RocketMQ DefaultMQProducerImpl.sendMessageInTransaction, checkTransactionState; remoting sheet 7.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mq.client.instance import Client
from mq.client.producer import SEND_TIMEOUT_S, Producer
from mq.client.results import SendResult, SendStatus, TransactionResult, TransactionState
from mq.client.settings import ClientSettings
from mq.client.trace import Traced
from mq.clock import Clock
from mq.errors import InvalidMessage, MQError
from mq.message import Message, ReceivedMessage, ids, properties, sys_flag
from mq.message.message import RETRY_PREFIX
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection
from mq.remoting.headers import CheckTransactionStateRequestHeader, EndTransactionRequestHeader

logger = logging.getLogger(__name__)

#: Says how a transaction ended; a plain function runs in a thread. Raising, like UNKNOWN, means: ask again later.
TransactionCheck = Callable[[ReceivedMessage], TransactionState | Awaitable[TransactionState]]
#: The local work; a plain function runs in a thread.
LocalWork = Callable[[Message], TransactionState | Awaitable[TransactionState]]


class TransactionProducer(Producer):
    """A producer that also sends half messages, and answers for all of its group's.

    ```
    async with TransactionProducer("orders", check=outcome_of) as producer:
        await producer.send_in_transaction(message, place_order)
    ```
    From its start it is known to every broker of the cluster, so it is asked about what an earlier process left open.
    """

    def __init__(
        self,
        group: str,
        *,
        check: TransactionCheck,
        namesrv: str | Sequence[str] | None = None,
        client: Client | None = None,
        clock: Clock | None = None,
        settings: ClientSettings | None = None,
        retries: int = 2,
        trace: bool = False,
    ) -> None:
        super().__init__(
            group, namesrv=namesrv, client=client, clock=clock, settings=settings, retries=retries, trace=trace
        )
        self._check = check
        self._check_tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Make ourselves known to the brokers; those that cannot be reached now hear of us later."""
        await super().start()
        self.client.routes.follow_cluster()
        await self.client.routes.refresh(())
        await self.client.heartbeats.to_all()

    async def stop(self) -> None:
        """As `Producer.stop`; checks under way go unanswered."""
        for task in self._check_tasks:
            task.cancel()
        await super().stop()

    # ---- sending

    async def send_in_transaction(
        self, message: Message, work: LocalWork, *, timeout_s: float = SEND_TIMEOUT_S
    ) -> TransactionResult:
        """Send a half message, do the work, and tell the broker how it ended.

        Whatever `work` raises is raised here, and leaves the transaction open for `check` to answer: the work may have
        been done. When the half message could not be stored as safely as asked, the work is not done at all.

        Raises: as `send_half`, before the work began.
        """
        half = await self.send_half(message, timeout_s=timeout_s)
        state = TransactionState.UNKNOWN
        try:
            if half.status is SendStatus.SEND_OK:
                state = await _call(work, message)
            else:
                state = TransactionState.ROLLBACK
        finally:
            await self.end(half, state, message)
        return TransactionResult(half, state)

    async def send_half(self, message: Message, *, timeout_s: float = SEND_TIMEOUT_S) -> SendResult:
        """Send a message that nobody sees until `end` says COMMIT.

        Raises: as `send`; InvalidMessage also for a delayed message, which RocketMQ cannot do.
        """
        self.client.check_usable()
        if message.delay_level or message.deliver_at_ms is not None:
            raise InvalidMessage("a message in a transaction cannot be delayed: let its consumer send the delayed one")
        if message.topic.startswith(RETRY_PREFIX):
            raise InvalidMessage(f"a message in a transaction cannot go to the retry topic {message.topic!r}")
        outgoing = self.client.packer.pack(message, {properties.TRAN_MSG: "true", properties.PGROUP: self.group})
        outgoing.sys_flag |= sys_flag.TRANSACTION_PREPARED
        return await self._deliver(outgoing, None, timeout_s, message)

    async def end(self, half: SendResult, state: TransactionState, message: Message | None = None) -> None:
        """Tell the broker how the work around a half message ended; `message` is only for its trace.

        One way, and never an error: when the broker does not hear it, it asks.
        """
        request = RemotingCommand.request(
            RequestCode.END_TRANSACTION,
            EndTransactionRequestHeader(
                topic=self.client.namespace.wrap(half.queue.topic),
                producer_group=self.group,
                tran_state_table_offset=half.queue_offset,
                commit_log_offset=ids.parse_offset_message_id(half.offset_message_id).commit_log_offset,
                commit_or_rollback=state.value,
                from_transaction_check=False,
                msg_id=half.message_id,
                transaction_id=half.transaction_id,
                broker_name=half.queue.broker_name,
            ),
        )
        try:
            address = self.client.routes.master(half.queue.broker_name)
            await self.client.remoting.invoke_oneway(address, request)
        except MQError as error:
            logger.warning("transaction %s: its end (%s) was not sent: %s", half.message_id, state.name, error)
            return
        if self._trace is not None:
            traced = Traced.of(message, half.message_id, half.queue.topic)
            self._trace.transaction_ended(traced, state, address, half.transaction_id, is_asked=False)

    # ---- being asked

    def check_transaction(
        self, connection: Connection, header: CheckTransactionStateRequestHeader, half: ReceivedMessage
    ) -> None:
        """Ask `check` and answer on the connection the question came from."""
        task = asyncio.create_task(self._answer_check(connection, header, half))
        self._check_tasks.add(task)
        task.add_done_callback(self._check_tasks.discard)

    async def _answer_check(
        self, connection: Connection, header: CheckTransactionStateRequestHeader, half: ReceivedMessage
    ) -> None:
        topic, half.topic = half.topic, self.client.namespace.unwrap(half.topic)
        try:
            state = await _call(self._check, half)
        except Exception:  # It is the user's; the broker will ask again.
            logger.exception("group %s: the check of transaction %s raised", self.group, half.message_id)
            state = TransactionState.UNKNOWN
        answer = EndTransactionRequestHeader(
            topic=topic,
            producer_group=self.group,
            tran_state_table_offset=header.tran_state_table_offset,
            commit_log_offset=header.commit_log_offset,
            commit_or_rollback=state.value,
            from_transaction_check=True,
            msg_id=half.message_id,
            transaction_id=header.transaction_id,
            broker_name=header.broker_name,
        )
        request = RemotingCommand.request(RequestCode.END_TRANSACTION, answer)
        connection.send_oneway(self.client.remoting.complete(request))
        if self._trace is not None:
            traced = Traced.of(half, half.message_id, half.topic)
            address = str(connection.remote)
            self._trace.transaction_ended(traced, state, address, header.transaction_id, is_asked=True)


Argument = TypeVar("Argument")


async def _call(
    function: Callable[[Argument], TransactionState | Awaitable[TransactionState]], argument: Argument
) -> TransactionState:
    if inspect.iscoroutinefunction(function):
        return checked(function, await function(argument))
    return checked(function, await asyncio.to_thread(function, argument))


def checked(function: object, state: object) -> TransactionState:
    """What a user's function returned, if it is a state.

    Raises: TypeError: it is not; and UNKNOWN would hide the mistake.
    """
    if not isinstance(state, TransactionState):
        raise TypeError(f"{function!r} returned {state!r}: expected a TransactionState")
    return state
