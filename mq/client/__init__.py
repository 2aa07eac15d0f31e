"""The client: producers, consumers and a thin admin, for this broker and for Apache RocketMQ alike.

Everything is asyncio underneath; `mq.client.sync` is the face for code that is not. Nothing happens at import, and
nothing before `start()` (or `async with`). Producers and consumers of one process may share a `Client`.
"""

from mq.client.admin import Admin, QueueProgress
from mq.client.broadcasting import MessageModel
from mq.client.instance import Client
from mq.client.lite_pull_consumer import LitePullConsumer
from mq.client.offset_store import ConsumeFromWhere
from mq.client.producer import Producer
from mq.client.pull_consumer import PullConsumer
from mq.client.push_consumer import PushConsumer
from mq.client.results import (
    RETRY_LATER,
    SUCCESS,
    ConsumeResult,
    PullResult,
    PullStatus,
    SendResult,
    SendStatus,
    TransactionResult,
    TransactionState,
)
from mq.client.settings import ClientSettings
from mq.client.subscription import MessageSelector
from mq.client.transaction_producer import TransactionProducer
from mq.remoting.signature import Credentials
from mq.remoting.tls import TlsSettings

__all__ = [
    "RETRY_LATER",
    "SUCCESS",
    "Admin",
    "Client",
    "ClientSettings",
    "ConsumeFromWhere",
    "ConsumeResult",
    "Credentials",
    "LitePullConsumer",
    "MessageModel",
    "MessageSelector",
    "Producer",
    "PullConsumer",
    "PullResult",
    "PullStatus",
    "PushConsumer",
    "QueueProgress",
    "SendResult",
    "SendStatus",
    "TlsSettings",
    "TransactionProducer",
    "TransactionResult",
    "TransactionState",
]
