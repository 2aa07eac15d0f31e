"""Sending a group back or forward: an administrator names a time or an offset (code 222), and consumers follow.

The broker notes the target as the group's offset, ignores what the group's members commit meanwhile, and answers their
next pull of the queue with 21 and the target (`pending_resets.py`); pulls that are held are woken for that, so a reset
is felt at once.

With `useServerSideResetOffset=false` the members are told to move by themselves (code 220), as before 5.0.
Source: RocketMQ AdminBrokerProcessor.resetOffset, ConsumerOffsetManager.assignResetOffset, Broker2Client.resetOffset.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mq import dialect
from mq.broker.clients import Client
from mq.broker.consume_stats import QueueKey
from mq.errors import ResponseError
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import ResetOffsetRequestHeader

if TYPE_CHECKING:
    from mq.broker.app import Broker

logger = logging.getLogger(__name__)

#: Clients before this version (3.0.7) do not know code 220.
KNOWS_RESET_VERSION: Final = 28
#: In a header: no offset, the time decides; no queue, all of them.
_NONE: Final = -1


class ResetOffsetProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {RequestCode.INVOKE_BROKER_TO_RESET_OFFSET: self._reset}

    def _reset(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Raises: ResponseError: 17 topic, 26 group, 1 an offset outside the queue, 29 no such queue, 206."""
        header = command.header(ResetOffsetRequestHeader)
        targets = self._targets(header)
        logger.info("offsets of group %s in topic %s are reset to %s", header.group, header.topic, targets)
        if self._broker.config.server_side_reset:
            self._broker.offsets.reset(header.group, header.topic, targets)
            for queue_id in targets:
                self._broker.long_polling.wake(header.group, header.topic, queue_id)
        else:
            targets = self._push(header, targets)
        return command.respond(
            body=dialect.dumps({"offsetTable": self._by_queue(header.topic, targets)}, bare_keys=True)
        )

    def _targets(self, header: ResetOffsetRequestHeader) -> dict[int, int]:
        """The offset each queue is to go to."""
        topic = self._broker.topics.get(header.topic)
        if topic is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"Topic {header.topic} does not exist")
        if self._broker.groups.get(header.group) is None:
            raise ResponseError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"Group {header.group} does not exist")
        if header.queue_id < 0:
            return {queue_id: self._by_time(header, queue_id) for queue_id in range(topic.read_queue_nums)}
        if header.queue_id >= max(topic.read_queue_nums, topic.write_queue_nums):
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"topic[{header.topic}] has no queue {header.queue_id}")
        if header.offset is None or header.offset == _NONE:
            return {header.queue_id: self._by_time(header, header.queue_id)}
        store = self._broker.store
        low, high = (bound(header.topic, header.queue_id) for bound in (store.min_offset, store.max_offset))
        if not low <= header.offset <= high + 1:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"Target offset {header.offset} not in consume queue range [{low}-{high}]"
            )
        return {header.queue_id: min(header.offset, high)}

    def _by_time(self, header: ResetOffsetRequestHeader, queue_id: int) -> int:
        """A negative time means the end."""
        store = self._broker.store
        if header.timestamp < 0:
            return store.max_offset(header.topic, queue_id)
        return store.offset_by_time(header.topic, queue_id, header.timestamp)

    # ---- as before 5.0

    def _push(self, header: ResetOffsetRequestHeader, targets: dict[int, int]) -> dict[int, int]:
        """Tell every member; without `isForce` no queue goes forward. Raises: ResponseError: 206, nobody is there."""
        group = self._broker.consumers.group(header.group)
        members = [
            client for client in (group.clients.values() if group else ()) if client.version >= KNOWS_RESET_VERSION
        ]
        if not members:
            raise ResponseError(
                ResponseCode.CONSUMER_NOT_ONLINE,
                f"Consumer not online, so can not reset offset, Group: {header.group} Topic: {header.topic}",
            )
        if not header.is_force:
            consumed = self._broker.offsets.queues_of(header.group, header.topic)
            targets = {queue_id: min(to, consumed.get(queue_id, to)) for queue_id, to in targets.items()}
        for client in members:
            request = RemotingCommand.request(
                RequestCode.RESET_CONSUMER_CLIENT_OFFSET,
                ResetOffsetRequestHeader(header.topic, header.group, header.timestamp, header.is_force),
                self._push_body(client, header.topic, targets),
            )
            client.connection.send_oneway(request)
        return targets

    def _push_body(self, client: Client, topic: str, targets: dict[int, int]) -> bytes:
        by_queue = self._by_queue(topic, targets)
        if client.language == "CPP":  # its JSON reader knows no objects as keys
            listed = [dict(sorted({**queue._asdict(), "offset": target}.items())) for queue, target in by_queue.items()]
            return dialect.dumps({"offsetTable": listed})
        return dialect.dumps({"offsetTable": by_queue}, bare_keys=True)

    def _by_queue(self, topic: str, targets: dict[int, int]) -> dict[QueueKey, int]:
        name = self._broker.config.broker_name
        return {QueueKey(name, queue_id, topic): target for queue_id, target in targets.items()}
