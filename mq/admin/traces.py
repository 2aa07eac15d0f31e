"""Message traces read back: the records of `mq/client/trace.py`, as far as a person wants to see them.

Fields are found by position, as Java does; records of another length, or with a word where a number belongs, are of
a client we do not know and are left out. Source: RocketMQ TraceDataEncoder.java, TraceView.java.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from mq.message import ReceivedMessage

PUBLISHED: Final = "Pub"
_FIELD_END: Final = "\x01"
_RECORD_END: Final = "\x02"
#: Positions of id, time, cost and success in a Pub record; and the fewest fields it has.
_PUB: Final = (5, 1, 10, 13, 14)
#: The same of a SubAfter record; time and group came with version 4.9.
_SUB: Final = (2, 7, 3, 4, 7)


class TraceEvent(NamedTuple):
    """One thing that happened to a message. Units: `at_ms` epoch ms, 0 when the client does not tell."""

    kind: str
    group: str
    client_host: str
    at_ms: int
    cost_ms: int
    status: str


def read_traces(message: ReceivedMessage, message_id: str) -> Iterator[TraceEvent]:
    """What the records of one trace message say about `message_id`."""
    host = message.born_host.address
    for record in message.body.decode(errors="replace").split(_RECORD_END):
        fields = record.split(_FIELD_END)
        kind = fields[0].strip()
        try:
            if kind == PUBLISHED and len(fields) >= _PUB[-1] and fields[_PUB[0]] == message_id:
                yield _event(PUBLISHED, fields[3], host, fields, _PUB)
            elif kind == "SubAfter" and len(fields) >= _SUB[-1] and fields[_SUB[0]] == message_id:
                group = fields[8] if len(fields) > 8 else ""
                yield _event("Sub", group, host, fields, _SUB)
        except ValueError:
            continue


def _event(kind: str, group: str, host: str, fields: list[str], places: tuple[int, ...]) -> TraceEvent:
    _, at, cost, success, _ = places
    at_ms = int(fields[at]) if len(fields) > at else 0
    return TraceEvent(kind, group, host, at_ms, int(fields[cost]), "success" if fields[success] == "true" else "failed")
