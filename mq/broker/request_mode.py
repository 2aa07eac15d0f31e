"""Whether a group gets a topic's messages by pulling or by POP, and which queues a member is to ask for.

Codes 401 (set), 402 (the table) and 400: a member that leaves the dividing to the broker asks for its queues. By POP
everybody asks for any queue (-1) of each broker, or shares those of its neighbours when the mode says so; by pulling
the queues are divided as clients would (strategies AVG and AVG_BY_CIRCLE; asked for another the broker refuses, and
clients then divide them on their own). Kept in `config/messageRequestMode.json`.
Source: RocketMQ QueryAssignmentProcessor, MessageRequestModeManager.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mq import dialect
from mq.broker.consumer_manager import BROADCASTING
from mq.errors import ResponseError
from mq.message import MessageQueue
from mq.message.message import RETRY_PREFIX
from mq.remoting.bodies import QueryAssignmentRequestBody, SetMessageRequestModeRequestBody
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.store import json_files

if TYPE_CHECKING:
    from mq.broker.app import Broker

POP: Final = "POP"
PULL: Final = "PULL"
#: Of all topics and groups together: entries are never removed by clients.
MAX_MODES: Final = 50_000

Modes = dict[str, dict[str, SetMessageRequestModeRequestBody]]


class RequestModes:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "messageRequestMode.json"
        self._modes: Modes = {}

    def load(self) -> None:
        """Raises: StoreUnusable: the file is broken, and so is the version before."""
        self._modes = json_files.load(self._path, _read_modes)

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.QUERY_ASSIGNMENT: self._query_assignment,
            RequestCode.SET_MESSAGE_REQUEST_MODE: self._set,
            RequestCode.GET_ALL_MESSAGE_REQUEST_MODE: self._all,
        }

    def mode_of(self, topic: str, group: str) -> SetMessageRequestModeRequestBody:
        """PULL unless told otherwise."""
        asked = self._modes.get(topic, {}).get(group)
        return asked or SetMessageRequestModeRequestBody(topic, group)

    def _set(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Raises: ResponseError: 16 for a retry topic, 17, 26, 29 for another mode, 1 for too many."""
        wanted = SetMessageRequestModeRequestBody.from_json(command.body)
        if wanted.topic.startswith(RETRY_PREFIX):
            raise ResponseError(ResponseCode.NO_PERMISSION, "retry topic is not allowed to set mode")
        if self._broker.topics.get(wanted.topic) is None:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{wanted.topic}] not exist")
        if self._broker.groups.find_or_create(wanted.consumer_group) is None:
            raise ResponseError(
                ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"subscription group {wanted.consumer_group} does not exist"
            )
        if wanted.mode not in (PULL, POP):
            raise ResponseError(ResponseCode.INVALID_PARAMETER, f"mode {wanted.mode[:20]!r}: PULL or POP")
        if sum(map(len, self._modes.values())) >= MAX_MODES:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"there are {MAX_MODES} modes already")
        modes = self._modes | {wanted.topic: self._modes.get(wanted.topic, {}) | {wanted.consumer_group: wanted}}
        json_files.save(self._path, _to_dict(modes))
        self._modes = modes
        return command.respond()

    def _all(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        return command.respond(body=dialect.dumps(_to_dict(self._modes), bare_keys=True))

    # ---- who asks for which queues

    async def _query_assignment(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Raises: ResponseError: 17, 1 when the group has no members, 3 for a strategy that is not known here."""
        asked = QueryAssignmentRequestBody.from_json(command.body)
        queues = await self._queues(asked.topic)
        mode = self.mode_of(asked.topic, asked.consumer_group)
        if asked.message_model != BROADCASTING:
            group = self._broker.consumers.group(asked.consumer_group)
            if group is None:
                raise ResponseError(ResponseCode.SYSTEM_ERROR, f"group {asked.consumer_group} has no members")
            members = sorted(group.client_ids(), key=lambda member: member.encode("utf-16-be", "surrogatepass"))
            if mode.mode == POP:
                queues = _for_pop(asked, queues, members, mode.pop_share_queue_num)
            else:
                queues = _share(asked.strategy_name, asked.client_id, queues, members)
        assignments = [
            {
                "messageQueue": {"brokerName": queue.broker_name, "queueId": queue.queue_id, "topic": queue.topic},
                "mode": mode.mode,
            }
            for queue in dict.fromkeys(queues)
        ]
        return command.respond(body=dialect.dumps({"messageQueueAssignments": assignments}))

    async def _queues(self, topic: str) -> list[MessageQueue]:
        """The topic's queues on all brokers, as name servers know them; without name servers on this one."""
        counts = await self._broker.name_servers.read_queue_counts(topic)
        if counts is None:
            config = self._broker.topics.get(topic)
            counts = {} if config is None else {self._broker.config.broker_name: config.read_queue_nums}
        queues = [
            MessageQueue(topic, broker_name, queue_id)
            for broker_name in sorted(counts)
            for queue_id in range(counts[broker_name])
        ]
        if not queues:
            raise ResponseError(ResponseCode.TOPIC_NOT_EXIST, f"topic[{topic}] not exist, apply first please!")
        return queues


def _share(strategy: str, client_id: str, queues: Sequence[MessageQueue], members: list[str]) -> list[MessageQueue]:
    """A member's part of the queues; nothing for whoever is no member."""
    if strategy not in ("AVG", "AVG_BY_CIRCLE"):
        raise ResponseError(
            ResponseCode.REQUEST_CODE_NOT_SUPPORTED, f"strategy {strategy[:50]!r}: divide the queues yourselves"
        )
    if client_id not in members:
        return []
    place = members.index(client_id)
    if strategy == "AVG_BY_CIRCLE":
        return list(queues[place :: len(members)])
    share, extra = divmod(len(queues), len(members))
    start = place * share + min(place, extra)
    return list(queues[start : start + share + (place < extra)])


def _for_pop(
    asked: QueryAssignmentRequestBody, queues: list[MessageQueue], members: list[str], shared_with: int
) -> list[MessageQueue]:
    """Any queue of each broker; or a member's own and those of the next `shared_with` members."""
    if shared_with <= 0 or shared_with >= len(members) - 1:
        return [MessageQueue(asked.topic, queue.broker_name, -1) for queue in queues]
    if asked.client_id not in members:
        return []
    place = members.index(asked.client_id)
    if len(members) > len(queues):
        return [queues[place % len(queues)]]
    ring = [members[(place + step) % len(members)] for step in range(shared_with + 1)]
    return [queue for member in ring for queue in _share(asked.strategy_name, member, queues, members)]


def _to_dict(modes: Modes) -> dict[str, Any]:
    table = {topic: {group: mode.to_dict() for group, mode in groups.items()} for topic, groups in modes.items()}
    return {"messageRequestModeMap": table}


def _read_modes(file: dict[str, Any]) -> Modes:
    """`{"messageRequestModeMap":{"topic":{"group":{...}}}}`."""
    return {
        topic: {group: SetMessageRequestModeRequestBody.from_json(mode) for group, mode in groups.items()}
        for topic, groups in file.get("messageRequestModeMap", {}).items()
    }
