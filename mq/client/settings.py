"""The settings of a client that are not about one message: addresses, and how often things are looked after.

The defaults are RocketMQ's. Tests shorten the intervals instead of waiting for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mq.errors import ResponseError
from mq.message.compression import Compression
from mq.remoting.signature import Credentials
from mq.remoting.tls import TlsSettings

NAMESRV_VARIABLE: Final = "MQ_NAMESRV_ADDR"
DEFAULT_NAMESRV: Final = "127.0.0.1:9876"


ACCESS_KEY_VARIABLE: Final = "MQ_ACCESS_KEY"
SECRET_KEY_VARIABLE: Final = "MQ_SECRET_KEY"


def environment_credentials() -> Credentials | None:
    """The account that MQ_ACCESS_KEY and MQ_SECRET_KEY name, if they do.

    Raises: ValueError: one of them alone.
    """
    access_key, secret_key = os.environ.get(ACCESS_KEY_VARIABLE), os.environ.get(SECRET_KEY_VARIABLE)
    if not access_key and not secret_key:
        return None
    if not access_key or not secret_key:
        raise ValueError(f"{ACCESS_KEY_VARIABLE} and {SECRET_KEY_VARIABLE} belong together")
    return Credentials(access_key, secret_key)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    # Who we are and whom we trust
    #: The account that signs every request, by default that of the environment; None where the broker asks for none.
    credentials: Credentials | None = field(default_factory=environment_credentials)
    #: Speak TLS to name servers and brokers; None: plain text.
    tls: TlsSettings | None = None

    # Routes and brokers
    route_refresh_s: float = 30.0
    heartbeat_s: float = 30.0
    #: How soon a broker whose connection was lost hears from us again.
    reconnect_s: float = 1.0
    request_timeout_s: float = 3.0
    #: Topics and groups are `namespace%topic` to brokers; or, the second way, two header fields name the namespace.
    namespace: str = ""
    namespace_v2: str = ""

    # Sending
    #: Bodies from this size on are compressed, if that makes them smaller.
    compress_from_bytes: int = 4096
    compression: Compression = Compression.ZLIB
    compression_level: int = 5
    #: Answers after which a send is tried again; the set of Java's client 5.3.
    retry_response_codes: frozenset[int] = ResponseError.RETRYABLE_CODES
    #: Also when the broker has it, but not on disk or on its replica in time: it may then be there twice.
    retry_another_broker_when_not_store_ok: bool = False
    #: Leave brokers that were slow or failed alone for a while.
    send_latency_fault: bool = False
    #: Ask brokers that could not be reached until they answer, and leave them alone so long.
    start_detector: bool = False
    detector_interval_s: float = 3.0
    detector_timeout_s: float = 0.2

    # Message trace, of producers and consumers that are told to
    trace_topic: str = "RMQ_SYS_TRACE_TOPIC"
    trace_flush_s: float = 5.0

    # Consumer groups
    rebalance_s: float = 20.0
    #: How soon, at the latest, a rebalance that could not be completed (no route, lock or answer) is tried again.
    rebalance_retry_s: float = 1.0
    offset_persist_s: float = 5.0
    lock_renew_s: float = 20.0
    #: A queue lock not renewed for this long counts as lost; half of the broker's own lease of 60 s.
    lock_lease_s: float = 30.0

    # Pulling
    pull_batch_count: int = 32
    pull_batch_bytes: int = 256 * 1024
    pull_suspend_s: float = 15.0
    pull_timeout_s: float = 30.0
    pull_error_pause_s: float = 1.0
    #: A queue is not pulled while it holds this much that no handler has finished.
    queue_max_messages: int = 1000
    queue_max_bytes: int = 100 * 1024 * 1024
    #: ... or while first and last of it lie this far apart (one stuck handler must not hold back the commit for ever).
    queue_max_span: int = 2000
    #: Limits for all queues of a consumer together, shared out evenly in place of those of a queue; -1: none.
    topic_max_messages: int = -1
    topic_max_bytes: int = -1


def name_server_addresses(namesrv: str | Sequence[str] | None) -> tuple[str, ...]:
    """`host:port` of every name server, from an argument, from MQ_NAMESRV_ADDR, or the local default.

    Several are separated by `;` or `,`, as RocketMQ does.
    Raises: ValueError: an address that is not host:port.
    """
    if namesrv is None:
        namesrv = os.environ.get(NAMESRV_VARIABLE) or DEFAULT_NAMESRV
    parts = re.split(r"[;,]", namesrv) if isinstance(namesrv, str) else namesrv
    addresses = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    for address in addresses:
        host, separator, port = address.rpartition(":")
        if not (host and separator and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"name server address {address!r} is not host:port")
    if not addresses:
        raise ValueError(f"no name server address in {namesrv!r}: expected host:port;host:port")
    return addresses
