"""A stored message on its way to being stored once more: when it is due, committed, asked about, or to be retried.

Each storing is a record of its own; body, flag, time and place of birth, and properties go along.
"""

from __future__ import annotations

from typing import Final

from mq.errors import InvalidMessage, RemoteProtocolError
from mq.message import ReceivedMessage, record
from mq.message import properties as names
from mq.message.message import check_topic
from mq.message.record import RecordFields
from mq.store.store import MessageStore

MAX_QUEUE_ID: Final = 2**31 - 1


def stored_message(store: MessageStore, commit_log_offset: int) -> ReceivedMessage:
    """The message whose record begins at `commit_log_offset`.

    Raises: InvalidMessage: there is none: never was, or retention took it.
    """
    data = store.record_at(commit_log_offset)
    try:
        message = record.decode(data) if data is not None else None
    except RemoteProtocolError as error:
        raise InvalidMessage(f"no message begins at commit log offset {commit_log_offset}: {error}") from error
    if message is None or message.commit_log_offset != commit_log_offset:
        raise InvalidMessage(f"no message begins at commit log offset {commit_log_offset}")
    return message


def stored_again(
    message: ReceivedMessage, *, topic: str, queue_id: int, properties: dict[str, str] | None = None
) -> RecordFields:
    """The message under another topic; its properties as they are unless others are given."""
    return RecordFields(
        topic=topic,
        queue_id=queue_id,
        body=message.body,
        properties_text=names.encode(message.properties if properties is None else properties),
        sys_flag=message.sys_flag,
        flag=message.flag,
        born_timestamp_ms=message.born_timestamp_ms,
        born_host=message.born_host,
        reconsume_times=message.reconsume_times,
    )


def to_real_topic(message: ReceivedMessage, properties: dict[str, str] | None = None) -> RecordFields:
    """The message under the topic it was sent to, as `REAL_TOPIC` and `REAL_QID` say.

    Raises: InvalidMessage: see `real_target`.
    """
    topic, queue_id = real_target(message)
    return stored_again(message, topic=topic, queue_id=queue_id, properties=properties)


def real_target(message: ReceivedMessage) -> tuple[str, int]:
    """The topic and queue id a redirected message was sent to.

    Raises: InvalidMessage: the properties that say so are missing or no topic and queue.
    """
    topic, queue_id = message.properties.get(names.REAL_TOPIC, ""), message.properties.get(names.REAL_QID, "")
    check_topic(topic)  # it becomes a folder's name
    if not queue_id.isdecimal() or int(queue_id) > MAX_QUEUE_ID:
        raise InvalidMessage(f"{names.REAL_QID} of message {message.message_id} is {queue_id[:50]!r}")
    return topic, int(queue_id)
