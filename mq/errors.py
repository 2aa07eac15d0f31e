"""Every error of the queue: one base class, one sentence per class, data as attributes.

`retryable` answers the one question callers have: may the same call, sent again, succeed? It is a property of the
class, except where the broker's answer decides (`ResponseError.is_retryable`).
"""

from __future__ import annotations

from typing import ClassVar


class MQError(Exception):
    """Base of all errors of `mq`."""

    retryable: ClassVar[bool] = False


class ProtocolError(MQError):
    """Bytes that are no RocketMQ frame, header, record or property text; the connection they came on is closed."""


class LocalProtocolError(ProtocolError):
    """Our side was about to send something the protocol cannot carry: our fault, never the peer's."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something the protocol does not allow."""


class ConnectionLost(MQError):
    """No connection, or it closed while an answer was awaited; the request may have been carried out."""

    retryable = True


class RequestTimeout(MQError):
    """No answer within the time allowed; the request may have been carried out."""

    retryable = True


class ResponseError(MQError):
    """The peer said no: `code` is RocketMQ's response code, `remark` its sentence."""

    #: Response codes after which another attempt may succeed; the retry set of the Java client 5.3 (DefaultMQProducer).
    RETRYABLE_CODES: ClassVar[frozenset[int]] = frozenset({1, 2, 14, 16, 17, 204, 205, 1500})

    def __init__(self, code: int, remark: str | None = None) -> None:
        super().__init__(f"response code {code}: {remark or 'no remark'}")
        self.code = code
        self.remark = remark

    @property
    def is_retryable(self) -> bool:
        """Whether this answer is one that the same request, sent again, may not get."""
        return self.code in self.RETRYABLE_CODES


class NoRoute(MQError):
    """No name server knows a broker that serves the topic (or that group's retry topic)."""

    retryable = True


class MessageTooLarge(MQError):
    """A body, the properties text or a whole record exceeds the limit that the sentence names."""


class InvalidMessage(MQError):
    """A topic, tag, group or property that RocketMQ does not allow; the sentence names it and the rule."""


class CorruptRecord(MQError):
    """Bytes on disk that are not what was written; `path` and `position` (bytes from the file's start) say where."""

    def __init__(self, path: object, position: int, reason: str) -> None:
        super().__init__(f"{path} at byte {position}: {reason}")
        self.path = path
        self.position = position
        self.reason = reason


class StoreNotWritable(MQError):
    """The store takes no writes: the disk is full, or a sync failed and writing stopped for good."""

    retryable = True


class StoreUnusable(MQError):
    """The store directory cannot be opened: locked by another process, unreadable, or of a kind we do not read."""


class AlreadyStopped(MQError):
    """The client or server was stopped (or never started, or started in the parent of this forked process)."""
