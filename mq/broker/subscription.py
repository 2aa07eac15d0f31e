"""What a consumer wants of a topic: all of it, or messages with one of some tags.

Clients send tag hashes along (`codeSet`), but not all of them send right ones, so we hash the tags of the expression
ourselves. The broker compares hashes only; the client compares the tags again.
Source: RocketMQ FilterAPI.buildSubscriptionData.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mq.errors import ResponseError
from mq.message import properties
from mq.remoting.bodies import SubscriptionData
from mq.remoting.codes import ResponseCode

TAG: Final = "TAG"
#: A longer expression is refused.
MAX_EXPRESSION_LENGTH: Final = 4096


class Subscription(NamedTuple):
    """`tag_codes` None means every message of the topic."""

    topic: str
    version: int
    tag_codes: frozenset[int] | None
    data: SubscriptionData


def parse_tags(expression: str | None) -> frozenset[int] | None:
    """The hashes of `A || B`; None for `*` or nothing.

    Raises: ResponseError: 23 when it is only separators, or too long.
    """
    if expression is None or expression.strip() in ("", "*"):
        return None
    tags = [tag for tag in (word.strip() for word in expression.split("||")) if tag]
    if not tags or len(expression) > MAX_EXPRESSION_LENGTH:
        raise ResponseError(
            ResponseCode.SUBSCRIPTION_PARSE_FAILED,
            f"parse the consumer's subscription failed: {expression[:80]!r} has no tags or more than "
            f"{MAX_EXPRESSION_LENGTH} characters",
        )
    return frozenset(map(properties.tag_code, tags))


def from_data(data: SubscriptionData) -> Subscription:
    """Raises: ResponseError: 23, as `parse_tags`."""
    tag_codes = parse_tags(data.sub_string) if _is_tag(data.expression_type) else None
    return Subscription(data.topic, data.sub_version, tag_codes, data)


def require_tag(expression_type: str | None) -> None:
    """Raises: ResponseError: 1 for an expression about properties: only tags can be filtered by."""
    if not _is_tag(expression_type):
        raise ResponseError(
            ResponseCode.SYSTEM_ERROR, f"The broker does not support consumer to filter message by {expression_type}"
        )


def _is_tag(expression_type: str | None) -> bool:
    return not expression_type or expression_type == TAG
