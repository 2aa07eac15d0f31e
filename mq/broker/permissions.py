"""Which account may send the broker which request: one row per code.

A new code gets a row here, or nobody can use it. Requests about a message name its place in the log, not its topic; for
them the message itself is looked at, since what a request says about it could be anything.

| rule | asks for |
| --- | --- |
| `publishes(field)` | PUB on the topic in that field |
| `subscribes(field)` | SUB on it |
| `consumes(group, topic)` | SUB on both |
| `administrator` | `admin: true` |
| `anyone` | an account |

Source: RocketMQ PlainAccessResource.parse (4.9), DefaultAuthorizationContextBuilder (5.3); it leaves most codes free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mq import dialect
from mq.broker.pop_receipts import normal_topic
from mq.broker.redelivery import real_target, stored_message
from mq.broker.system_names import is_system_topic
from mq.errors import InvalidMessage, RemoteProtocolError
from mq.message import ReceivedMessage
from mq.remoting.bodies import HeartbeatData, LockBatchRequestBody
from mq.remoting.codes import RequestCode as Code
from mq.security.accounts import Account
from mq.security.guard import Rule, administrator, anyone
from mq.store.store import MessageStore

#: Topics that an account's rights are remembered of.
_REMEMBERED_MAX: Final = 1000


def publishes(field: str) -> Rule:
    return lambda account, fields, body: _publish(account, fields.get(field, ""))


def subscribes(field: str) -> Rule:
    return lambda account, fields, body: _subscribe(account, fields.get(field, ""))


def consumes(group: str, topic: str | None = None) -> Rule:
    def rule(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
        missing = _consume(account, fields.get(group, ""))
        return missing if missing or topic is None else _subscribe(account, fields.get(topic, ""))

    return rule


def permissions(store: MessageStore) -> dict[int, Rule]:
    """The table. Codes stand here whether they are served yet or not; those not served answer 3 once permitted."""
    offset_of_queue = subscribes("topic")
    return {
        # messages
        Code.SEND_MESSAGE: publishes("topic"),
        Code.SEND_MESSAGE_V2: publishes("b"),
        Code.SEND_BATCH_MESSAGE: publishes("b"),
        Code.SEND_REPLY_MESSAGE: publishes("topic"),
        Code.SEND_REPLY_MESSAGE_V2: publishes("b"),
        Code.RECALL_MESSAGE: publishes("topic"),
        Code.END_TRANSACTION: _ends_transaction(store),
        Code.PULL_MESSAGE: consumes("consumerGroup", "topic"),
        Code.LITE_PULL_MESSAGE: consumes("consumerGroup", "topic"),
        Code.CONSUMER_SEND_MSG_BACK: _sends_back(store),
        Code.QUERY_MESSAGE: subscribes("topic"),
        Code.VIEW_MESSAGE_BY_ID: _views(store),
        # clients, offsets, locks
        Code.HEART_BEAT: _heartbeats,
        Code.UNREGISTER_CLIENT: anyone,
        Code.CHECK_CLIENT_CONFIG: anyone,
        Code.GET_CONSUMER_LIST_BY_GROUP: consumes("consumerGroup"),
        Code.QUERY_CONSUMER_OFFSET: consumes("consumerGroup", "topic"),
        Code.UPDATE_CONSUMER_OFFSET: consumes("consumerGroup", "topic"),
        Code.SEARCH_OFFSET_BY_TIMESTAMP: offset_of_queue,
        Code.GET_MAX_OFFSET: offset_of_queue,
        Code.GET_MIN_OFFSET: offset_of_queue,
        Code.GET_EARLIEST_MSG_STORETIME: offset_of_queue,
        Code.LOCK_BATCH_MQ: _locks,
        Code.UNLOCK_BATCH_MQ: _locks,
        # POP
        Code.QUERY_ASSIGNMENT: _assigns,
        Code.SET_MESSAGE_REQUEST_MODE: administrator,
        Code.POP_MESSAGE: consumes("consumerGroup", "topic"),
        Code.PEEK_MESSAGE: consumes("consumerGroup", "topic"),
        Code.ACK_MESSAGE: _has_popped,
        Code.CHANGE_MESSAGE_INVISIBLETIME: _has_popped,
        Code.NOTIFICATION: consumes("consumerGroup", "topic"),
        Code.POLLING_INFO: consumes("consumerGroup", "topic"),
        Code.BATCH_ACK_MESSAGE: _acknowledges,
        # administration
        Code.UPDATE_AND_CREATE_TOPIC: administrator,
        Code.UPDATE_AND_CREATE_TOPIC_LIST: administrator,
        Code.GET_ALL_TOPIC_CONFIG: administrator,
        Code.UPDATE_BROKER_CONFIG: administrator,
        Code.GET_BROKER_CONFIG: administrator,
        Code.GET_BROKER_RUNTIME_INFO: administrator,
        Code.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: administrator,
        Code.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: administrator,
        Code.GET_ALL_SUBSCRIPTIONGROUP_CONFIG: administrator,
        Code.GET_TOPIC_STATS_INFO: administrator,
        Code.GET_CONSUMER_CONNECTION_LIST: administrator,
        Code.GET_PRODUCER_CONNECTION_LIST: administrator,
        Code.GET_ALL_PRODUCER_INFO: administrator,
        Code.DELETE_SUBSCRIPTIONGROUP: administrator,
        Code.GET_CONSUME_STATS: administrator,
        Code.DELETE_TOPIC_IN_BROKER: administrator,
        Code.INVOKE_BROKER_TO_RESET_OFFSET: administrator,
        Code.INVOKE_BROKER_TO_GET_CONSUMER_STATUS: administrator,
        Code.QUERY_TOPIC_CONSUME_BY_WHO: administrator,
        Code.QUERY_CONSUME_TIME_SPAN: administrator,
        Code.GET_SYSTEM_TOPIC_LIST_FROM_BROKER: administrator,
        Code.CLEAN_EXPIRED_CONSUMEQUEUE: administrator,
        Code.CLEAN_UNUSED_TOPIC: administrator,
        Code.DELETE_EXPIRED_COMMITLOG: administrator,
        Code.GET_CONSUMER_RUNNING_INFO: administrator,
        Code.QUERY_CORRECTION_OFFSET: administrator,
        Code.CONSUME_MESSAGE_DIRECTLY: administrator,
        Code.CLONE_GROUP_OFFSET: administrator,
        Code.VIEW_BROKER_STATS_DATA: administrator,
        Code.GET_BROKER_CONSUME_STATS: administrator,
        Code.QUERY_CONSUME_QUEUE: administrator,
        Code.RESUME_CHECK_HALF_MESSAGE: administrator,
        Code.QUERY_TOPICS_BY_CONSUMER: administrator,
        Code.QUERY_SUBSCRIPTION_BY_CONSUMER: administrator,
        Code.GET_TOPIC_CONFIG: administrator,
        Code.GET_SUBSCRIPTIONGROUP_CONFIG: administrator,
        Code.UPDATE_AND_GET_GROUP_FORBIDDEN: administrator,
        Code.GET_BROKER_HA_STATUS: administrator,
        **dict.fromkeys(range(3001, 3011), administrator),  # users and their permissions: AUTH_CREATE_USER and so on
        # replication
        Code.GET_ALL_CONSUMER_OFFSET: administrator,
        Code.GET_ALL_DELAY_OFFSET: administrator,
        Code.GET_TIMER_CHECK_POINT: administrator,
        Code.GET_TIMER_METRICS: administrator,
        Code.GET_ALL_MESSAGE_REQUEST_MODE: administrator,
        Code.NOTIFY_MIN_BROKER_ID_CHANGE: administrator,
        Code.EXCHANGE_BROKER_HA_INFO: administrator,
    }


def may_hear_of(account: Account | None, message: ReceivedMessage) -> bool:
    """Whether a producer may be asked about a half message, which shows it: it must be one that may send such."""
    return account is not None and _publish(account, real_target(message)[0]) is None


def _publish(account: Account, topic: str) -> str | None:
    may = account.publishing.get(topic)
    if may is None:
        if len(account.publishing) >= _REMEMBERED_MAX:
            account.publishing.clear()
        may = account.publishing[topic] = account.may_publish(topic, reserved=is_system_topic(topic))
    return None if may else f"publish to topic {topic[:150]}"


def _subscribe(account: Account, topic: str) -> str | None:
    may = account.may_subscribe(topic, reserved=is_system_topic(topic))
    return None if may else f"subscribe to topic {topic[:150]}"


def _consume(account: Account, group: str) -> str | None:
    return None if account.may_consume_as(group) else f"consume as group {group[:150]}"


def _first(refusals: Iterator[str | None]) -> str | None:
    return next((refusal for refusal in refusals if refusal is not None), None)


# ---- what stands in the body


def _heartbeats(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    if account.admin:
        return None

    def refusals() -> Iterator[str | None]:
        for consumer in HeartbeatData.from_json(body).consumer_data_set:
            yield _consume(account, consumer.group_name)
            for subscription in consumer.subscription_data_set:
                yield _subscribe(account, subscription.topic)

    return _first(refusals())


def _locks(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    return _consume(account, LockBatchRequestBody.from_json(body).consumer_group)


def _assigns(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    asked = _object(body)
    return _consume(account, str(asked.get("consumerGroup"))) or _subscribe(account, str(asked.get("topic")))


def _has_popped(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    """A message that came again is named by the topic of the group's retries, and is still one of the topic's."""
    group = fields.get("consumerGroup", "")
    return _consume(account, group) or _subscribe(account, normal_topic(fields.get("topic", ""), group))


def _acknowledges(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    acks = _object(body).get("acks")
    if not isinstance(acks, list) or not all(isinstance(ack, dict) for ack in acks):
        raise RemoteProtocolError("acks is no list of objects")
    return _first(_consume(account, str(a.get("c"))) or _subscribe(account, str(a.get("t"))) for a in acks)


def _object(body: bytes) -> dict[str, Any]:
    value = dialect.loads(body)
    if not isinstance(value, dict):
        raise RemoteProtocolError("the body is no JSON object")
    return value


# ---- what stands in the log


def _of_message(store: MessageStore, field: str, rule: Callable[[Account, ReceivedMessage], str | None]) -> Rule:
    """A rule about the message whose place in the log is in `field`; where none lies, the handler says so."""

    def check(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
        try:
            message = stored_message(store, int(fields.get(field, "")))
            return rule(account, message)
        except (InvalidMessage, ValueError):
            return None

    return check


def _views(store: MessageStore) -> Rule:
    return _of_message(store, "offset", lambda account, message: _subscribe(account, message.topic))


def _sends_back(store: MessageStore) -> Rule:
    of_message = _views(store)
    of_group = consumes("group")
    return lambda account, fields, body: of_group(account, fields, body) or of_message(account, fields, body)


def _ends_transaction(store: MessageStore) -> Rule:
    return _of_message(store, "commitLogOffset", lambda account, half: _publish(account, real_target(half)[0]))
