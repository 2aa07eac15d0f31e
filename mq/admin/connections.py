"""Who is connected, and how consumers are doing. Source: RocketMQ tools/command/connection, consumer, producer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mq import dialect
from mq.admin.command import CommandFailed, Family, Flag, Session
from mq.admin.report import Document, Fields, Part, Report, Table, Text, time_text
from mq.client.admin_results import ConnectionInfo, ConsumerConnection
from mq.client.broker_requests import read_queue
from mq.errors import ResponseError
from mq.remoting.codes import ResponseCode

COMMANDS: Final = Family("connections")

_BROKER: Final = Flag("b", "brokerAddr", "ask only this broker, host:port")
_GROUP: Final = Flag("g", "consumerGroup", "consumer group", required=True)
#: What clients call themselves. Source: RocketMQ MQVersion; remoting sheet 1.5.
_VERSIONS: Final = {
    **{37: "V3_0_11", 121: "V3_4_9", 213: "V4_0_0", 233: "V4_1_0", 253: "V4_2_0", 273: "V4_3_0", 293: "V4_4_0"},
    **{313: "V4_5_0", 317: "V4_5_2", 333: "V4_6_0", 355: "V4_7_1", 373: "V4_8_0", 393: "V4_9_0", 401: "V4_9_4"},
    **{407: "V4_9_7", 409: "V4_9_8", 413: "V5_0_0", 433: "V5_1_0", 441: "V5_1_4", 453: "V5_2_0", 473: "V5_3_0"},
    **{475: "V5_3_1", 477: "V5_3_2", 479: "V5_3_3", 481: "V5_3_4"},
}
_CLIENTS: Final = ("#ClientId", "#ClientAddr", "#Language", "#Version")


@COMMANDS.add("consumerConnection", "who consumes as a group, and what it subscribes to", _GROUP, _BROKER)
async def consumer_connection(session: Session) -> Report:
    _, online = await members(session, session["consumerGroup"])
    subscriptions = [(one.topic, one.sub_string) for one in online.subscription_table.values()]
    return [
        Table(_CLIENTS, _rows(online.connection_set), "clients"),
        Table(("#Topic", "#SubExpression"), sorted(subscriptions), "subscriptions"),
        Fields(
            {
                "ConsumeType": online.consume_type,
                "MessageModel": online.message_model,
                "ConsumeFromWhere": online.consume_from_where,
            }
        ),
    ]


@COMMANDS.add(
    "producerConnection",
    "who sends to a topic as a producer group",
    Flag("g", "producerGroup", "producer group", required=True),
    Flag("t", "topic", "a topic of the brokers to ask", required=True),
)
async def producer_connection(session: Session) -> Report:
    clients: dict[str, ConnectionInfo] = {}
    refusal: ResponseError | None = None
    for address in await session.admin.masters_of_topic(session["topic"]):
        try:
            found = await session.admin.at.producers(address, session["producerGroup"])
        except ResponseError as error:
            refusal = error
        else:
            clients |= {one.client_id: one for one in found.connection_set}
    if refusal is not None and not clients:
        raise refusal
    return Table(_CLIENTS, _rows(list(clients.values())), "clients")


@COMMANDS.add(
    "producer",
    "every producer that a broker knows",
    Flag("b", "broker", "address of the broker, host:port", required=True),
)
async def producer(session: Session) -> Report:
    groups = (await session.admin.at.all_producers(session["broker"])).data
    rows = [
        (
            group,
            one.client_id,
            one.remote_ip.lstrip("/"),
            one.language,
            one.version,
            time_text(one.last_update_timestamp),
        )
        for group, clients in sorted(groups.items())
        for one in clients
    ]
    return Table(("#Group", "#ClientId", "#RemoteIP", "#Language", "#Version", "#LastUpdate"), rows)


@COMMANDS.add(
    "consumerStatus",
    "how the consumers of a group are doing: queues, rates, threads",
    _GROUP,
    Flag("i", "clientId", "only this client, in full"),
    _BROKER,
    Flag("s", "jstack", "with what every thread is doing", read=None),
)
async def consumer_status(session: Session) -> Report:
    group, wanted = session["consumerGroup"], session["clientId"]
    address, online = await members(session, group)
    if wanted:
        return Document(await session.admin.at.running_info(address, group, wanted, jstack=session["jstack"]))
    infos: dict[str, Mapping[str, Any]] = {}
    parts: list[Part] = [Table(_CLIENTS, _rows(online.connection_set), "clients")]
    for client in online.connection_set:
        try:
            infos[client.client_id] = await session.admin.at.running_info(
                address, group, client.client_id, jstack=session["jstack"]
            )
        except ResponseError as error:
            parts.append(Text(f"{client.client_id} does not tell: {error}", {"silent": [client.client_id]}))
    queues = [row for client_id, info in infos.items() for row in _queues(client_id, info)]
    parts += [
        Table(("#ClientId", "#Topic", "#Broker Name", "#QID", "#Cached", "#Commit Offset"), queues, "queues"),
        Table(
            ("#ClientId", "#Topic", "#Pull RT", "#Pull TPS", "#Consume RT", "#OK TPS", "#Failed TPS", "#Failed Msgs"),
            [row for client_id, info in infos.items() for row in _rates(client_id, info)],
            "rates",
        ),
        Fields({"Same subscription": _is_same(infos), "Rebalance": "OK" if _is_shared_out(queues) else "Failed"}),
    ]
    if session["jstack"]:
        parts += [
            Text(f"{client_id}\n{info.get('jstack', '')}", {client_id: info.get("jstack")})
            for client_id, info in infos.items()
        ]
    return parts


def _queues(client_id: str, info: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    rows = []
    for key, state in (info.get("mqTable") or {}).items():
        queue = read_queue(dialect.loads(key))
        rows.append((client_id, *queue, state.get("cachedMsgCount", 0), state.get("commitOffset", -1)))
    return sorted(rows)


def _rates(client_id: str, info: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    names = ("pullRT", "pullTPS", "consumeRT", "consumeOKTPS", "consumeFailedTPS")
    return [
        (client_id, topic, *(round(float(one.get(name, 0)), 2) for name in names), one.get("consumeFailedMsgs", 0))
        for topic, one in sorted((info.get("statusTable") or {}).items())
    ]


def _is_same(infos: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all members subscribe to the same; RocketMQ's brokers deliver wrongly when they do not."""
    subscriptions = [
        sorted((one["topic"], one.get("subString")) for one in info.get("subscriptionSet") or [])
        for info in infos.values()
    ]
    return all(one == subscriptions[0] for one in subscriptions)


def _is_shared_out(queues: list[tuple[Any, ...]]) -> bool:
    """Whether no queue is read by two members."""
    held = [row[1:4] for row in queues]
    return len(held) == len(set(held))


async def members(session: Session, group: str) -> tuple[str, ConsumerConnection]:
    """The first broker that knows members of the group, and what it knows.

    Raises: ResponseError: 206, no broker does.
    """
    asked = session["brokerAddr"] if "brokerAddr" in session.args else None
    refusal: ResponseError | None = None
    for address in [asked] if asked else await session.admin.masters_of_group(group):
        try:
            return address, await session.admin.at.consumers(address, group)
        except ResponseError as error:
            if error.code != ResponseCode.CONSUMER_NOT_ONLINE:
                raise
            refusal = error
    raise refusal or CommandFailed(f"nobody consumes as {group!r}")


def _rows(clients: list[ConnectionInfo]) -> list[tuple[Any, ...]]:
    return [(one.client_id, one.client_addr, one.language, version_text(one.version)) for one in clients]


def version_text(version: int) -> str:
    """`V5_3_3` for 479; the number itself for a release that is not in the table."""
    return _VERSIONS.get(version, str(version))
