"""How busy the broker is: counters that cost nothing to keep, and rates made of samples taken every ten seconds.

RocketMQ samples every second and reports averages over the last 10, 60 and 600 seconds; ten seconds between samples
give the same three numbers. Source: RocketMQ StoreStatsService, BrokerStats.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.background import Background

if TYPE_CHECKING:
    from mq.broker.app import Broker

SAMPLE_INTERVAL_S: Final = 10.0
WINDOWS_S: Final = (10, 60, 600)


class Counters(NamedTuple):
    """Since the start: messages stored, pulls that found something or nothing, messages handed to consumers."""

    stored: int
    pulls_found: int
    pulls_missed: int
    given: int


class Sample(NamedTuple):
    taken_s: float
    counters: Counters
    #: Messages of each topic, from the ends of its queues, and messages given to each (topic, group).
    topics: Mapping[str, int]
    groups: Mapping[tuple[str, str], int]


class Statistics:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.pulls_found = 0
        self.pulls_missed = 0
        self.given = 0
        #: Added to by every pull.
        self.given_to: defaultdict[tuple[str, str], int] = defaultdict(int)
        #: Counters as of 00:00 yesterday and today, local time; 0 before the start.
        self.yesterday_morning = self.today_morning = Counters(0, 0, 0, 0)
        self._samples: deque[Sample] = deque(maxlen=int(WINDOWS_S[-1] / SAMPLE_INTERVAL_S) + 1)
        self._today: datetime.date | None = None
        self._background = Background("statistics", self._round)

    async def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()

    async def _round(self) -> float:
        self.sample(asyncio.get_running_loop().time(), self._local_date())
        return SAMPLE_INTERVAL_S

    def sample(self, now_s: float, today: datetime.date) -> None:
        if today != self._today:
            if self._today is not None:
                self.yesterday_morning, self.today_morning = self.today_morning, self.counters()
            self._today = today
        self._samples.append(Sample(now_s, self.counters(), self._messages_by_topic(), dict(self.given_to)))

    def counters(self) -> Counters:
        return Counters(self._broker.store.put_statistics.count, self.pulls_found, self.pulls_missed, self.given)

    def rates(self, name: str) -> tuple[float, ...]:
        """The rate per second of one of `Counters` over each of `WINDOWS_S`; 0 until there are two samples."""
        return tuple(self._rate(window_s, lambda sample: int(getattr(sample.counters, name))) for window_s in WINDOWS_S)

    def topic_rate(self, topic: str) -> float:
        """Messages stored per second in the last minute."""
        return self._rate(60, lambda sample: sample.topics.get(topic, 0))

    def group_rate(self, topic: str, group: str) -> float:
        """Messages given to a group per second in the last minute."""
        return self._rate(60, lambda sample: sample.groups.get((topic, group), 0))

    def _rate(self, window_s: float, value: Callable[[Sample], int]) -> float:
        if len(self._samples) < 2:
            return 0.0
        last = self._samples[-1]
        first = self._samples[max(0, len(self._samples) - 1 - round(window_s / SAMPLE_INTERVAL_S))]
        return (value(last) - value(first)) / (last.taken_s - first.taken_s)

    def _messages_by_topic(self) -> dict[str, int]:
        store = self._broker.store
        return {
            topic: sum(store.max_offset(topic, queue_id) for queue_id in queue_ids)
            for topic, queue_ids in store.queues().items()
        }

    def _local_date(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._broker.clock.now_ms() / 1000).astimezone().date()
