"""Message trace: what a message went through, as records that tools find by its id or keys.

A record is a line of fields: `type U+0001 field U+0001 ... U+0002`. Java reads them by position, so order and number
are the format; what is absent is written `null`.

| type | fields |
| --- | --- |
| Pub | time, region, group, topic, id, tags, keys, broker, body bytes, cost ms, kind, offset id, success |
| SubBefore | time, region, group, request id, id, retries, keys |
| SubAfter | request id, id, cost ms, success, keys, outcome, time, group |
| EndTransaction | time, region, group, topic, id, tags, keys, broker, kind, transaction id, state, was asked |
| Recall | time, region, group, topic, id, success |

Source: RocketMQ TraceDataEncoder.java, TraceBean.java; remoting sheet 11.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

from mq.client.results import SendResult, SendStatus, TransactionState
from mq.message import Message, ReceivedMessage

DEFAULT_REGION: Final = "DefaultRegion"
_FIELD_END: Final = "\x01"
_RECORD_END: Final = "\x02"


class MessageKind(enum.IntEnum):
    """MessageType.java's ordinals."""

    NORMAL = 0
    HALF = 1
    COMMIT = 2
    DELAY = 3


class ConsumeOutcome(enum.IntEnum):
    """ConsumeReturnType.java's ordinals, as far as our handlers have them."""

    SUCCESS = 0
    TIME_OUT = 1
    EXCEPTION = 2
    FAILED = 4


class TraceRecord(NamedTuple):
    """`keys` are what tools search for."""

    region_id: str
    text: str
    keys: tuple[str, ...]


class Traced(NamedTuple):
    """What of a message its trace shows."""

    message_id: str
    topic: str
    tag: str | None
    keys: tuple[str, ...]

    @classmethod
    def of(cls, message: Message | ReceivedMessage | None, message_id: str, topic: str) -> Traced:
        """`message` is None for a batch, which has neither tag nor keys of its own."""
        return cls(message_id, topic, message.tag if message else None, message.keys if message else ())

    @property
    def keys_text(self) -> str | None:
        return " ".join(self.keys) or None

    @property
    def all_keys(self) -> tuple[str, ...]:
        return (self.message_id, *self.keys)


def sent(
    message: Traced,
    result: SendResult,
    kind: MessageKind,
    *,
    group: str,
    broker_address: str,
    body_bytes: int,
    began_at_ms: int,
    cost_ms: int,
) -> TraceRecord:
    region_id = result.region_id or DEFAULT_REGION
    fields = (
        *("Pub", began_at_ms, region_id, group, message.topic, message.message_id, message.tag, message.keys_text),
        *(broker_address, body_bytes, cost_ms, int(kind), result.offset_message_id),
        result.status is SendStatus.SEND_OK,
    )
    return TraceRecord(region_id, _record(fields), message.all_keys)


def consuming(message: ReceivedMessage, region_id: str, *, group: str, request_id: str, at_ms: int) -> TraceRecord:
    """Messages that are handled together have one `request_id`."""
    traced = Traced.of(message, message.message_id, message.topic)
    fields = ("SubBefore", at_ms, region_id, group, request_id, traced.message_id, message.reconsume_times)
    return TraceRecord(region_id, _record((*fields, traced.keys_text)), traced.all_keys)


def consumed(
    message: ReceivedMessage,
    region_id: str,
    outcome: ConsumeOutcome,
    *,
    group: str,
    request_id: str,
    at_ms: int,
    cost_ms: int,
) -> TraceRecord:
    """`at_ms` is when they began to be handled, `cost_ms` what each took on average."""
    traced = Traced.of(message, message.message_id, message.topic)
    is_success = outcome is ConsumeOutcome.SUCCESS
    fields = ("SubAfter", request_id, traced.message_id, cost_ms, is_success, traced.keys_text)
    return TraceRecord(region_id, _record((*fields, int(outcome), at_ms, group)), traced.all_keys)


_STATES: Final = {
    TransactionState.COMMIT: "COMMIT_MESSAGE",
    TransactionState.ROLLBACK: "ROLLBACK_MESSAGE",
    TransactionState.UNKNOWN: "UNKNOW",
}


def transaction_ended(
    message: Traced,
    state: TransactionState,
    *,
    group: str,
    broker_address: str,
    transaction_id: str | None,
    is_asked: bool,
    at_ms: int,
) -> TraceRecord:
    fields = (
        *("EndTransaction", at_ms, DEFAULT_REGION, group, message.topic, message.message_id, message.tag),
        *(message.keys_text, broker_address, int(MessageKind.COMMIT), transaction_id, _STATES[state], is_asked),
    )
    return TraceRecord(DEFAULT_REGION, _record(fields), message.all_keys)


def recalled(message_id: str, topic: str, *, group: str, at_ms: int) -> TraceRecord:
    fields = ("Recall", at_ms, DEFAULT_REGION, group, topic, message_id, True)
    return TraceRecord(DEFAULT_REGION, _record(fields), (message_id,))


def _record(fields: Iterable[object]) -> str:
    return _FIELD_END.join(map(_text, fields)) + _RECORD_END


def _text(field: object) -> str:
    if field is None:
        return "null"
    if isinstance(field, bool):
        return "true" if field else "false"
    return str(field)
