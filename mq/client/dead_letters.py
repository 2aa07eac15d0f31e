"""Dead letters given to their group again: a copy in its retry topic, which no other group of the topic reads.

The copy begins with no tries behind it, and comes under the topic it was first sent to. The dead letter itself stays
where it is until its time is over, so who sends twice gets two copies.
Source: RocketMQ ConsumeMessageOrderlyService.sendMessageBack; remoting sheet 6.5.
"""

from __future__ import annotations

from mq.client.delivery import Delivery
from mq.client.instance import Client
from mq.client.outgoing import Outgoing, properties_text
from mq.client.producer import SEND_TIMEOUT_S
from mq.client.results import SendResult
from mq.errors import InvalidMessage
from mq.message import ReceivedMessage, properties
from mq.message.message import DLQ_PREFIX, RETRY_PREFIX

_PRODUCER = "CLIENT_INNER_PRODUCER"
#: What the way to the dead letters left behind, and must not decide over the copy.
_OF_THE_WAY = (properties.DELAY, properties.TRAN_MSG)


async def resend(client: Client, group: str, letter: ReceivedMessage) -> SendResult:
    """Send a copy of one dead letter to the group's retry topic.

    Raises: InvalidMessage: it is no dead letter of the group, or says not what topic it is from.  MQError: not sent.
    """
    origin = letter.properties.get(properties.RETRY_TOPIC)
    if letter.topic != DLQ_PREFIX + group or not origin:
        raise InvalidMessage(f"message {letter.message_id} is no dead letter of group {group!r}")
    named = {name: value for name, value in letter.properties.items() if name not in _OF_THE_WAY}
    body, flags = client.packer.compress(letter.body)
    copy = Outgoing(
        RETRY_PREFIX + group, body, properties_text(named), letter.message_id, flags, letter.flag, reconsume_times=0
    )
    return await Delivery(client, _PRODUCER, attempts=3).deliver(copy, None, SEND_TIMEOUT_S)
