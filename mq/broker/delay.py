"""Where a message goes that is not to be delivered yet: a delay level's queue, or the topic of the time wheel.

A message asks with `DELAY` (a level, 1 to 18) or with one of `TIMER_DELAY_SEC`, `TIMER_DELAY_MS`, `TIMER_DELIVER_MS`
(a moment, up to three days ahead). It is stored under another topic, keeps its own as `REAL_TOPIC` and `REAL_QID`,
and is stored a second time, under its own, when it is due (`schedule.py`, `timer.py`). The properties that asked stay
in the text: consumers see them, and nothing may act on them twice, so only what clients send passes through here.
Source: RocketMQ broker/util/HookUtils.handleScheduleMessage.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mq.errors import InvalidMessage, ResponseError
from mq.message import properties as names
from mq.message import sys_flag
from mq.message.record import RecordFields
from mq.remoting.codes import ResponseCode

if TYPE_CHECKING:
    from mq.broker.config import BrokerConfig

SCHEDULE_TOPIC: Final = "SCHEDULE_TOPIC_XXXX"
TIMER_TOPIC: Final = "rmq_sys_wheel_timer"
TIMER_QUEUE_ID: Final = 0

#: The properties that ask for a moment, in the order in which RocketMQ looks at them.
TIMER_REQUESTS: Final = (names.TIMER_DELAY_SEC, names.TIMER_DELAY_MS, names.TIMER_DELIVER_MS)

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}\Z")


def redirect(fields: RecordFields, properties: dict[str, str], *, now_ms: int, config: BrokerConfig) -> RecordFields:
    """The same message on its way to a delay level or the time wheel; `fields` itself when it asks for neither.

    `properties` are those of `fields.properties_text`, decoded; they are not changed. A level wins over a moment, a
    level above the highest counts as the highest, a moment that has passed counts as none, and a message that was
    timed already (`TIMER_OUT_MS`) is not timed again.

    Raises: InvalidMessage: a moment that is no number or further ahead than `timerMaxDelaySec`.
        ResponseError: a moment while `timerWheelEnable` is false.
    """
    if fields.sys_flag & sys_flag.TRANSACTION_MASK in (sys_flag.TRANSACTION_PREPARED, sys_flag.TRANSACTION_ROLLBACK):
        return fields
    level = delay_level(properties)
    if level > 0:
        return _to_level(fields, properties, min(level, len(config.delay_levels_ms)))
    if names.TIMER_OUT_MS in properties or not any(name in properties for name in TIMER_REQUESTS):
        return fields
    return _to_wheel(fields, properties, now_ms, config)


def delay_level(properties: dict[str, str]) -> int:
    """The level asked for; 0 for none and, as in RocketMQ, for text that is no number."""
    text = properties.get(names.DELAY, "")
    return int(text) if _INTEGER.match(text) else 0


def _to_level(fields: RecordFields, properties: dict[str, str], level: int) -> RecordFields:
    kept = {name: value for name, value in properties.items() if name not in TIMER_REQUESTS}
    kept[names.DELAY] = str(level)
    return _divert(fields, kept, SCHEDULE_TOPIC, level - 1)


def _to_wheel(fields: RecordFields, properties: dict[str, str], now_ms: int, config: BrokerConfig) -> RecordFields:
    if not config.timer_wheel_enable:
        raise ResponseError(ResponseCode.SYSTEM_ERROR, "timer messages are switched off: timerWheelEnable=false")
    deliver_at_ms = _deliver_at_ms(properties, now_ms)
    if deliver_at_ms <= now_ms:
        if names.TIMER_DEL_UNIQKEY in properties:
            raise InvalidMessage("a timer that is due already cannot be taken back")
        return fields
    if deliver_at_ms - now_ms > config.timer_max_delay_sec * 1000:
        ahead_s = (deliver_at_ms - now_ms) // 1000
        raise InvalidMessage(f"delivery in {ahead_s} s: {config.timer_max_delay_sec} s at most (timerMaxDelaySec)")
    # The slot before the one the moment opens: its messages leave when it is over, so late by less than one slot.
    slot_ms = (deliver_at_ms - 1) // config.timer_precision_ms * config.timer_precision_ms
    return _divert(fields, {**properties, names.TIMER_OUT_MS: str(slot_ms)}, TIMER_TOPIC, TIMER_QUEUE_ID)


def _deliver_at_ms(properties: dict[str, str], now_ms: int) -> int:
    name = next(name for name in TIMER_REQUESTS if name in properties)
    if not _INTEGER.match(properties[name]):
        raise InvalidMessage(f"property {name} is {properties[name][:50]!r}, not a whole number")
    value = int(properties[name])
    if name == names.TIMER_DELIVER_MS:
        return value
    return now_ms + value * (1000 if name == names.TIMER_DELAY_SEC else 1)


def _divert(fields: RecordFields, properties: dict[str, str], topic: str, queue_id: int) -> RecordFields:
    kept = {**properties, names.REAL_TOPIC: fields.topic, names.REAL_QID: str(fields.queue_id)}
    return replace(fields, topic=topic, queue_id=queue_id, properties_text=names.encode(kept))
