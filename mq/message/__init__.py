"""Messages and their bytes: what goes in, what comes out, and how both lie in a record, a batch, a properties text."""

from mq.message.ids import Host
from mq.message.message import Message, MessageQueue, ReceivedMessage

__all__ = ["Host", "Message", "MessageQueue", "ReceivedMessage"]
