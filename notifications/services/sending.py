"""Which words an event is worth."""

from __future__ import annotations

from common import money
from notifications import channels
from notifications.channels import Note
from orders.messages import OrderCompleted, OrderDelivered, OrderPaid, OrderRefunded, OrderShipped

Told = OrderPaid | OrderShipped | OrderDelivered | OrderCompleted | OrderRefunded


def send(channel: str, event: Told) -> None:
    """Tell the buyer of the event.

    Raises: ChannelDown.
    """
    channels.send(channel, Note(f"{event.tag}:{event.key}", event.buyer_id, text_of(event)))


def text_of(event: Told) -> str:
    if isinstance(event, OrderPaid):
        return f"Thank you: your order {event.order_no} of {money.to_text(event.total_cents)} yuan is paid."
    if isinstance(event, OrderShipped):
        return f"Your order {event.order_no} is on its way, parcel {event.tracking_no}."
    if isinstance(event, OrderDelivered):
        return f"Your order {event.order_no} has arrived. Please confirm that you have it."
    if isinstance(event, OrderRefunded):
        return f"{money.to_text(event.amount_cents)} yuan of your order {event.order_no} are on their way back to you."
    return f"Your order {event.order_no} is complete."
