"""The ways to pay: the buyer chooses one, and whatever happens to that trade afterwards goes the same way."""

from __future__ import annotations

from typing import Final

from payments.gateway.alipay.client import AlipayGateway
from payments.gateway.contract import Gateway
from payments.gateway.wechat.client import WechatGateway

ALIPAY: Final = "alipay"
WECHAT: Final = "wechat"
#: What a buyer gets who does not choose.
DEFAULT: Final = ALIPAY

GATEWAYS: Final[dict[str, Gateway]] = {ALIPAY: AlipayGateway(), WECHAT: WechatGateway()}


def of(channel: str) -> Gateway:
    """Raises: KeyError: there is no such channel; what is stored or in a path of ours always exists."""
    return GATEWAYS[channel]
