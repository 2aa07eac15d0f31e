"""Asking about expressions before consuming by them: a pull that is refused for ever would be noticed late.

Source: RocketMQ DefaultMQPushConsumerImpl.start, MQClientInstance.checkClientInBroker.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mq.client.instance import Client
from mq.client.subscription import TAG
from mq.errors import MQError, ResponseError
from mq.remoting.bodies import SubscriptionData

logger = logging.getLogger(__name__)


async def check_expressions(client: Client, group: str, subscriptions: Iterable[SubscriptionData]) -> None:
    """Ask one broker of each topic whether it understands the expression; tags need no asking.

    Raises: ResponseError: it does not (23, with the reason), or filters by tags only (1). Not reaching one is no error.
    """
    for subscription in subscriptions:
        if subscription.expression_type == TAG:
            continue
        try:
            route = await client.routes.of(subscription.topic)
            for addresses in list(route.brokers.values())[:1]:
                await client.brokers.check_client(next(iter(addresses.values())), client.client_id, group, subscription)
        except ResponseError:
            raise
        except MQError as error:
            logger.info("group %s: nobody to ask about %r: %s", group, subscription.sub_string, error)
