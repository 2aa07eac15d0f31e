"""What a consumer wants of a topic: all of it, messages with one of some tags, or those an expression is true of.

Clients send tag hashes along (`codeSet`), but not all of them send right ones, so we hash the tags of the expression
ourselves. The broker compares hashes only; the client compares the tags again. SQL92 expressions are about all
properties and are evaluated here only.
Source: RocketMQ FilterAPI, ExpressionMessageFilter, ConsumerFilterManager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.errors import ResponseError
from mq.filter import Filter, InvalidExpression
from mq.message import properties
from mq.remoting.bodies import SubscriptionData
from mq.remoting.codes import ResponseCode

if TYPE_CHECKING:
    from mq.broker.config import BrokerConfig

logger = logging.getLogger(__name__)

TAG: Final = "TAG"
SQL92: Final = "SQL92"
#: A longer expression of tags is refused.
MAX_EXPRESSION_LENGTH: Final = 4096


class MessageFilter(NamedTuple):
    """Both must hold; None holds for every message. `wants` is asked with a message's properties text."""

    tag_codes: frozenset[int] | None = None
    wants: Callable[[bytes], bool] | None = None

    def accepts(self, tag_code: int, properties_text: bytes) -> bool:
        if self.tag_codes is not None and tag_code not in self.tag_codes:
            return False
        return self.wants is None or self.wants(properties_text)


class Subscription(NamedTuple):
    """One of a group, as its heartbeats named it; `outcome` is its filter, or why there is none."""

    topic: str
    version: int
    outcome: MessageFilter | ResponseError
    data: SubscriptionData

    @property
    def filter(self) -> MessageFilter:
        """Raises: ResponseError: 27 (SQL92) or 23: the expression is wrong, so nothing matches it."""
        if isinstance(self.outcome, ResponseError):
            raise ResponseError(self.outcome.code, self.outcome.remark)
        return self.outcome


def from_data(data: SubscriptionData) -> Subscription:
    """A wrong expression is kept as well: the pulls that need it are told what is wrong."""
    outcome: MessageFilter | ResponseError
    try:
        # Class filters ran in servers of their own, which are no more; as in RocketMQ, whoever asks for one gets all.
        outcome = MessageFilter() if data.class_filter_mode else parse(data.sub_string, data.expression_type)
    except ResponseError as error:
        code = error.code if is_tag(data.expression_type) else ResponseCode.FILTER_DATA_NOT_EXIST
        outcome = ResponseError(code, error.remark)
    return Subscription(data.topic, data.sub_version, outcome, data)


def parse(expression: str | None, expression_type: str | None) -> MessageFilter:
    """What a pull, a heartbeat or a client's question carries.

    Raises: ResponseError: 23 with the reason: tags as `parse_tags`, SQL92 as `Filter`, or another type.
    """
    if is_tag(expression_type):
        return MessageFilter(_cached_tags(expression))
    if expression_type != SQL92:
        raise _refusal(f"{expression_type!r} is neither TAG nor SQL92")
    wants = _compiled(expression or "")
    if isinstance(wants, str):
        raise _refusal(wants)
    return MessageFilter(wants=wants)


def parse_tags(expression: str | None) -> frozenset[int] | None:
    """The hashes of `A || B`; None for `*` or nothing.

    Raises: ResponseError: 23 when it is only separators, or too long.
    """
    if expression is None or expression.strip() in ("", "*"):
        return None
    tags = [tag for tag in (word.strip() for word in expression.split("||")) if tag]
    if not tags or len(expression) > MAX_EXPRESSION_LENGTH:
        raise _refusal(f"{expression[:80]!r} has no tags or more than {MAX_EXPRESSION_LENGTH} characters")
    return frozenset(map(properties.tag_code, tags))


def require_supported(expression_type: str | None, config: BrokerConfig) -> None:
    """Raises: ResponseError: 1 for an expression about properties where `enablePropertyFilter` is false."""
    if not config.property_filter and not is_tag(expression_type):
        raise ResponseError(
            ResponseCode.SYSTEM_ERROR, f"The broker does not support consumer to filter message by {expression_type}"
        )


def is_tag(expression_type: str | None) -> bool:
    return not expression_type or expression_type == TAG


_cached_tags = lru_cache(maxsize=4096)(parse_tags)


@lru_cache(maxsize=256)
def _compiled(expression: str) -> Callable[[bytes], bool] | str:
    """A wrong one is remembered too: every heartbeat and every pull may bring it again."""
    try:
        return Filter(expression).matches
    except InvalidExpression as error:
        logger.warning("a consumer's SQL92 expression matches nothing: %s in %.200r", error, expression)
        return f"{error} in {expression[:80]!r}"


def _refusal(reason: str) -> ResponseError:
    return ResponseError(ResponseCode.SUBSCRIPTION_PARSE_FAILED, f"parse the consumer's subscription failed: {reason}")
