"""Who is told what, by which channel. A channel is a group: a slow provider of SMS holds up no push, and no order.

Weak on purpose (see `messaging.weak`): a text that is sent twice after a crash is a nuisance, and costs no money.
"""

from __future__ import annotations

from messaging.registry import consumer
from notifications.services import sending
from orders.messages import (
    ORDER_EVENTS,
    OrderCompleted,
    OrderDelivered,
    OrderPaid,
    OrderRefunded,
    OrderShipped,
)


@consumer(topic=ORDER_EVENTS, tags=[OrderPaid, OrderShipped], group="notifications-sms", weak=True)
def send_sms(event: OrderPaid | OrderShipped) -> None:
    sending.send("sms", event)


@consumer(
    topic=ORDER_EVENTS,
    tags=[OrderPaid, OrderShipped, OrderDelivered, OrderCompleted, OrderRefunded],
    group="notifications-push",
    weak=True,
)
def send_push(event: sending.Told) -> None:
    sending.send("push", event)
